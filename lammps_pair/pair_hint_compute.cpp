/* ----------------------------------------------------------------------
   pair_style hint: energies, forces and virials of a step.
------------------------------------------------------------------------- */

#include "atom.h"
#include "error.h"
#include "pair_hint.h"
#include "update.h"
#include "utils.h"

#include <cmath>

using namespace LAMMPS_NS;

void PairHint::compute(int eflag, int vflag) {
  ev_init(eflag, vflag);
  const int64_t own = build_graph(), n = atoms.size(), edges = first.size();
  if (!told)
    tell_size(own);
  if (domain_known)
    look_outside();
  const bool watched = domain_known && largest_force > 0.0;
  pull.assign(watched ? 3 * (atom->nlocal + atom->nghost) : 0, 0.0);
  if (n > 0)
    evaluate(own);
  if (watched)
    look_at_forces();
}

void PairHint::evaluate(int64_t own) {
  const int64_t n = atoms.size(), edges = first.size();
  hint::Output found;
  try {
    found = model->run({first, second, kinds, vectors}, own);
  } catch (const std::exception &problem) {
    const std::string reason = hint::reason_of(problem);
    if (hint::is_out_of_memory(problem))
      error->one(
          FLERR,
          "pair hint: memory ran out on {} for the {} atoms and {} edges of this process ({}); use more "
          "nodes or a GPU with more memory, a model exported with --dtype float32, or a smaller box",
          model->device(), n, edges, reason);
    error->one(FLERR, "pair hint: {} failed on {} atoms and {} edges: {}", path, n, edges, reason);
  }
  const double *e = found.energies, *g = found.gradient;

  double total = 0.0;
  for (int64_t node = 0; node < own; node++) {
    const double energy = energy_unit * e[node];
    if (!std::isfinite(energy))
      not_finite("energy", atoms[node]);
    total += energy;
    if (eflag_atom)
      eatom[atoms[node]] += energy;
  }
  if (eflag_global)
    eng_vdwl += total;

  double **f = atom->f;
  for (int64_t edge = 0; edge < edges; edge++) {
    const int i = atoms[first[edge]], j = atoms[second[edge]];
    const double *r = &vectors[3 * edge];
    const double gx = energy_unit * g[3 * edge], gy = energy_unit * g[3 * edge + 1],
                 gz = energy_unit * g[3 * edge + 2];
    if (!std::isfinite(gx + gy + gz))
      not_finite("force", i);
    f[i][0] += gx;
    f[i][1] += gy;
    f[i][2] += gz;
    f[j][0] -= gx;
    f[j][1] -= gy;
    f[j][2] -= gz;
    for (int k = 0; k < 3 && !pull.empty(); k++) {
      pull[3 * i + k] += g[3 * edge + k];
      pull[3 * j + k] -= g[3 * edge + k];
    }
    if (!vflag_either)
      continue;
    const double v[6] = {-r[0] * gx,
                         -r[1] * gy,
                         -r[2] * gz,
                         -0.5 * (r[0] * gy + r[1] * gx),
                         -0.5 * (r[0] * gz + r[2] * gx),
                         -0.5 * (r[1] * gz + r[2] * gy)};
    for (int k = 0; k < 6; k++) {
      if (vflag_global)
        virial[k] += v[k];
      if (vflag_atom) {
        vatom[i][k] += 0.5 * v[k];
        vatom[j][k] += 0.5 * v[k];
      }
    }
  }
}

/* ---------------------------------------------------------------------- */

void PairHint::not_finite(const char *what, int index) {
  error->one(
      FLERR,
      "pair hint: the {} of atom {} is not finite on step {}: atoms too close, too large a timestep, or "
      "structures unlike those of the training",
      what, atom->tag[index], update->ntimestep);
}
