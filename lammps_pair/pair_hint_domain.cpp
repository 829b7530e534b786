/* ----------------------------------------------------------------------
   pair_style hint: whether the structure is unlike those that the model was trained on.
------------------------------------------------------------------------- */

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "pair_hint.h"
#include "utils.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace LAMMPS_NS;

namespace {

// Outside of the training is a distance below 0.95 of the shortest, or a force above 1.05 of the largest, as
// in hint_plugin/artifact/domain.py.

constexpr double NEARER = 0.95, STRONGER = 1.05;

} // namespace

/* ----------------------------------------------------------------------
   How close the pairs of elements came in training; infinity where a pair never was within the cutoff
------------------------------------------------------------------------- */

void PairHint::set_domain(const hint::Domain &domain) {
  domain_known = domain.known;
  largest_force = domain.largest_force;
  trained.assign(elements.size(), false);
  shortest.assign(elements.size() * elements.size(),
                  domain.distances_known ? std::numeric_limits<double>::infinity() : 0.0);
  for (size_t a = 0; a < elements.size(); a++) {
    trained[a] = std::count(domain.elements.begin(), domain.elements.end(), elements[a]) > 0;
    for (size_t b = 0; b < elements.size(); b++) {
      const auto &[low, high] = std::minmax(elements[a], elements[b]);
      const auto found = domain.shortest.find(low + "-" + high);
      if (found != domain.shortest.end())
        shortest[a * elements.size() + b] = found->second;
    }
  }
}

/* ----------------------------------------------------------------------
   Says once when the structure is unlike those of the training: elements, and distances within the cutoff
------------------------------------------------------------------------- */

void PairHint::look_outside() {
  const int64_t count = elements.size();
  struct {
    double part; // of the shortest distance in training; 0 for new pairs of elements, -1 for new elements
    int rank;
  } mine = {std::numeric_limits<double>::infinity(), comm->me}, worst;
  int64_t where = -1;
  for (size_t edge = 0; edge < first.size(); edge++) {
    const double part = length(edge) / shortest[kinds[first[edge]] * count + kinds[second[edge]]];
    if (part < mine.part)
      mine.part = part, where = edge;
  }
  for (size_t node = 0; node < kinds.size(); node++)
    if (!trained[kinds[node]])
      mine.part = -1.0, where = node;
  MPI_Allreduce(&mine, &worst, 1, MPI_DOUBLE_INT, MPI_MINLOC, world);
  if (worst.part < NEARER)
    say_outside(worst.rank, worst.rank != comm->me ? ""
                            : mine.part < 0.0      ? new_element(where)
                                                   : too_close(where));
}

// Forces of this style; those on ghosts are brought home first.

void PairHint::look_at_forces() {
  if (ghosts)
    comm->reverse_comm(this);
  struct {
    double force;
    int rank;
  } mine = {0.0, comm->me}, worst;
  int atom_there = -1;
  for (int i = 0; i < atom->nlocal; i++) {
    const double *p = &pull[3 * i], force = std::sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);
    if (force > mine.force)
      mine.force = force, atom_there = i;
  }
  MPI_Allreduce(&mine, &worst, 1, MPI_DOUBLE_INT, MPI_MAXLOC, world);
  if (worst.force > STRONGER * largest_force)
    say_outside(
        worst.rank,
        worst.rank != comm->me
            ? ""
            : fmt::format("the force on atom {} is {:.3g} eV/A; the largest in training was {:.3g} eV/A",
                          atom->tag[atom_there], mine.force, largest_force));
}

int PairHint::pack_reverse_comm(int n, int start, double *buffer) {
  std::copy_n(&pull[3 * start], 3 * n, buffer);
  return 3 * n;
}

void PairHint::unpack_reverse_comm(int n, int *list, double *buffer) {
  for (int k = 0; k < n; k++)
    for (int axis = 0; axis < 3; axis++)
      pull[3 * list[k] + axis] += buffer[3 * k + axis];
}

// What the process of that rank has to say, once, in the log, which is the first one's.

void PairHint::say_outside(int rank, std::string what) {
  domain_known = false;
  int size = what.size();
  MPI_Bcast(&size, 1, MPI_INT, rank, world);
  what.resize(size);
  MPI_Bcast(what.data(), size, MPI_CHAR, rank, world);
  if (comm->me == 0)
    error->warning(
        FLERR,
        "pair hint: the structure is outside of what the model was trained on: {}. Its numbers are "
        "extrapolation. This is said once.",
        what);
}

double PairHint::length(int64_t edge) const {
  const double *r = &vectors[3 * edge];
  return std::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
}

std::string PairHint::new_element(int64_t node) const {
  return fmt::format("no structure in training had {}, which is atom {}", elements[kinds[node]],
                     atom->tag[atoms[node]]);
}

std::string PairHint::too_close(int64_t edge) const {
  const int64_t i = first[edge], j = second[edge];
  const double limit = shortest[kinds[i] * elements.size() + kinds[j]];
  const auto &[low, high] = std::minmax(elements[kinds[i]], elements[kinds[j]]);
  return fmt::format("atoms {} and {} ({}-{}) are {:.2f} A apart; ", atom->tag[atoms[i]], atom->tag[atoms[j]],
                     low, high, length(edge)) +
         (std::isinf(limit)
              ? "training had no such pair within the cutoff"
              : fmt::format("the shortest distance of this pair in training was {:.2f} A", limit));
}
