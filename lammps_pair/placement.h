/* Which GPU a process takes, and how many threads: nodes are shared with the other processes of LAMMPS, those
   of other partitions included. No MPI and no torch in here: tests ask with any number of processes and
   devices. */

#ifndef HINT_PLACEMENT_H
#define HINT_PLACEMENT_H

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>

namespace hint {

// A process, counted from 0, among so many.

struct Place {
  int rank, ranks;
};

using Environment = std::function<const char *(const char *)>;

inline int number_in(const Environment &environment, const char *name) {
  const char *text = environment(name);
  return text && *text ? std::atoi(text) : -1;
}

// What the launcher says of this process on its node; ranks is 0 if it says nothing.

inline Place place_by_launcher(const Environment &environment) {
  static const char *const NAMES[][2] = {
      {"MPI_LOCALRANKID", "MPI_LOCALNRANKS"}, // MPICH, Intel MPI
      {"OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
      {"MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"},
      {"PMI_LOCAL_RANK", "PMI_LOCAL_SIZE"},     // Cray
      {"PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE"}, // HPE
  };
  for (const auto &names : NAMES) {
    const Place found{number_in(environment, names[0]), number_in(environment, names[1])};
    if (found.rank >= 0 && found.rank < found.ranks)
      return found;
  }
  const int tasks = number_in(environment, "SLURM_STEP_NUM_TASKS"),
            nodes = number_in(environment, "SLURM_STEP_NUM_NODES");
  const int ranks = tasks > 0 && nodes > 0 ? (tasks + nodes - 1) / nodes : 0;
  const int rank = number_in(environment, "SLURM_LOCALID");
  return rank >= 0 && rank < ranks ? Place{rank, ranks} : Place{0, 0};
}

/* The place of this process among all of its node.

   world: its place among those of its partition on the node, as MPI says.
   universe: its place among all processes of all partitions, on whatever nodes.
   partitions: how many there are. With several, MPI must not be asked for more than the world: a partition
   whose input has another pair style would never answer. The launcher knows; where it says nothing, nodes are
   taken to be filled one after the other. */

inline Place place_on_node(Place world, Place universe, int partitions, const Environment &environment) {
  if (partitions < 2)
    return world;
  const Place said = place_by_launcher(environment);
  return said.ranks >= world.ranks && said.ranks <= universe.ranks ? said : universe;
}

inline int gpu_of(Place on_node, int gpus) {
  return on_node.rank % gpus;
}

inline int threads_of(Place on_node, int cores) {
  return std::max(1, cores / on_node.ranks);
}

} // namespace hint

#endif
