/* ----------------------------------------------------------------------
   pair_style hint: the graph of a step, from LAMMPS's neighbour list. See pair_hint.cpp for what it has.
------------------------------------------------------------------------- */

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "neigh_list.h"
#include "pair_hint.h"
#include "update.h"
#include "utils.h"

#include <algorithm>

using namespace LAMMPS_NS;

/* ----------------------------------------------------------------------
   The node of an atom or ghost; a new one if it has none. All images of an atom share it, and the first
   one met stands for them: it is the one fewest edges away, whose neighbours are complete.
------------------------------------------------------------------------- */

int PairHint::node_of(int index) {
  const int home = atom->map(atom->tag[index]);
  if (nodes[home] < 0) {
    nodes[home] = static_cast<int>(atoms.size());
    atoms.push_back(home < atom->nlocal ? home : index);
    kinds.push_back(species[atom->type[index]]);
  }
  return nodes[home];
}

int64_t PairHint::build_graph() {
  double **x = atom->x;
  const int *type = atom->type;
  const int all = atom->nlocal + atom->nghost;
  const int listed = list->inum + (ghosts ? list->gnum : 0);
  atoms.clear();
  kinds.clear();
  first.clear();
  second.clear();
  vectors.clear();
  nodes.assign(all, -1);
  in_list.assign(all, 0); // firstneigh and numneigh hold nothing for atoms that the list leaves out
  for (int ii = 0; ii < listed; ii++)
    in_list[list->ilist[ii]] = 1;
  for (int i = 0; i < atom->nlocal; i++)
    if (species[type[i]] >= 0)
      node_of(i);
  const int64_t own = atoms.size();

  // level by level: neighbours of the atoms of this process, their neighbours, ...

  size_t begin = 0;
  const int levels = ghosts ? std::max(hops, 1) : 1;
  for (int level = 0; level < levels; level++) {
    const size_t end = atoms.size();
    for (size_t node = begin; node < end; node++) {
      const int i = atoms[node];
      if (!in_list[i])
        error->one(FLERR,
                   "pair hint: atom {} is not in the neighbour list on step {}: types that are changed by "
                   "'set' need a 'run' without 'pre no'",
                   atom->tag[i], update->ntimestep);
      const int *neighbours = list->firstneigh[i]; // by atom, not by place in the list
      for (int k = 0; k < list->numneigh[i]; k++) {
        const int j = neighbours[k] & NEIGHMASK;
        if (species[type[j]] < 0)
          continue;
        const double dx = x[j][0] - x[i][0], dy = x[j][1] - x[i][1], dz = x[j][2] - x[i][2];
        if (dx * dx + dy * dy + dz * dz >= cutoff * cutoff)
          continue;
        first.push_back(node);
        second.push_back(node_of(j));
        vectors.insert(vectors.end(), {dx, dy, dz});
      }
    }
    begin = end;
  }
  return own;
}

/* ----------------------------------------------------------------------
   How much larger the graphs are than the system, once for each run
------------------------------------------------------------------------- */

void PairHint::tell_size(int64_t own) {
  told = true;
  if (!ghosts)
    return;
  const double mine[3] = {static_cast<double>(own), static_cast<double>(atoms.size()),
                          static_cast<double>(first.size())};
  double all[3];
  MPI_Reduce(mine, all, 3, MPI_DOUBLE, MPI_SUM, 0, world);
  if (comm->me != 0 || all[0] == 0.0)
    return;
  const double ratio = all[1] / all[0];
  utils::logmesg(lmp,
                 "pair hint: {:.0f} atoms are {:.0f} nodes and {:.0f} edges on {} processes ({:.1f} x)\n",
                 all[0], all[1], all[2], comm->nprocs, ratio);
  if (comm->nprocs > 1 && ratio > 0.5 * comm->nprocs)
    error->warning(
        FLERR,
        "pair hint: an atom's energy reaches {:.1f} A ({} hops of {} A), so that {} processes do {:.1f} "
        "times the work of one, and can be at most {:.1f} times as fast; use fewer processes with more "
        "threads, or a larger box",
        hops * cutoff, hops, cutoff, comm->nprocs, ratio, comm->nprocs / ratio);
}
