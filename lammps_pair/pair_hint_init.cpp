/* ----------------------------------------------------------------------
   pair_style hint: what a run needs of LAMMPS, and what it may not have.
------------------------------------------------------------------------- */

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "error.h"
#include "force.h"
#include "group.h"
#include "modify.h"
#include "neighbor.h"
#include "pair_hint.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <string>

using namespace LAMMPS_NS;

namespace {

// What LAMMPS keeps from everybody but its own classes: whether 'comm_modify group' is set.

struct Reach : Comm {
  using Comm::bordergroup;
};

} // namespace

void PairHint::init_style() {
  const std::string units = update->unit_style;
  if (units == "metal")
    energy_unit = 1.0;
  else if (units == "real")
    energy_unit = utils::get_conversion_factor(utils::ENERGY, utils::METAL2REAL);
  else
    error->all(FLERR, "pair_style hint: units are {}; wanted metal or real", units);
  if (!force->newton_pair)
    error->all(FLERR, "pair_style hint needs 'newton on'");
  if (atom->tag_enable == 0)
    error->all(FLERR, "pair_style hint needs atom IDs");
  if (atom->map_style == Atom::MAP_NONE)
    error->all(FLERR, "pair_style hint needs an atom map: 'atom_modify map yes' before the box");
  refuse_what_is_wrong();
  if (mode == "fold" && comm->nprocs > 1)
    error->all(FLERR, "pair_style hint: mode fold works with one process, and there are {}; use ghost",
               comm->nprocs);
  if (atom->molecular != Atom::ATOMIC)
    for (int k = 1; k <= 3; k++)
      if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
        error->all(
            FLERR,
            "pair_style hint: bonded neighbours are left out of the neighbour list; a potential of all "
            "atoms needs 'special_bonds lj/coul 1 1 1', or an atom_style without bonds");

  ghosts = mode == "ghost" || (mode == "auto" && comm->nprocs > 1);
  ghostneigh = ghosts ? 1 : 0;
  if (ghosts && (neighbor->style == Neighbor::MULTI || neighbor->style == Neighbor::MULTI_OLD))
    error->all(FLERR,
               "pair_style hint: with several processes the neighbours of ghosts are needed, which "
               "LAMMPS does not list with 'neighbor ... multi'; use 'neighbor ... bin', or one process");
  if (ghosts) {
    neighbor->add_request(this, NeighConst::REQ_FULL | NeighConst::REQ_GHOST);
    // an atom's energy reaches so far, and atoms move by half of the skin before ghosts are sought again
    comm->cutghostuser = std::max(comm->cutghostuser, std::max(hops, 1) * cutoff + neighbor->skin);
  } else {
    neighbor->add_request(this, NeighConst::REQ_FULL);
  }
  told = false;
}

/* ----------------------------------------------------------------------
   What takes atoms or pairs from the lists, or makes of this style's numbers what they are not
------------------------------------------------------------------------- */

void PairHint::refuse_what_is_wrong() {
  if (excludes())
    error->all(FLERR, "pair_style hint: 'neigh_modify exclude' takes neighbours from atoms whose energy "
                      "depends on them; to hold atoms where they are, leave them out of the integrating "
                      "fix, or use fix setforce");
  if (neighbor->includegroup || comm->*(&Reach::bordergroup))
    error->all(FLERR, "pair_style hint: 'neigh_modify include' and 'comm_modify group' leave out "
                      "neighbours; the energy of an atom "
                      "depends on all that are within the cutoff");
  if (!modify->get_compute_by_style("^heat/flux").empty())
    error->all(
        FLERR,
        "pair_style hint: 'compute heat/flux' is wrong for this potential: an atom's energy depends on "
        "atoms that are no neighbours of it, and stress/atom shares each pair's virial in halves; "
        "remove the compute");
}

// Whether 'neigh_modify exclude' concerns pairs of this style; in a hybrid style it may be for others only.

bool PairHint::excludes() const {
  if (neighbor->nex_mol > 0)
    return true;
  for (int k = 0; k < neighbor->nex_type; k++)
    if (species[neighbor->ex1_type[k]] >= 0 && species[neighbor->ex2_type[k]] >= 0)
      return true;
  for (int k = 0; k < neighbor->nex_group; k++) {
    int has[2] = {0, 0}, any[2];
    for (int i = 0; i < atom->nlocal; i++)
      if (species[atom->type[i]] >= 0) {
        has[0] |= (atom->mask[i] & group->bitmask[neighbor->ex1_group[k]]) != 0;
        has[1] |= (atom->mask[i] & group->bitmask[neighbor->ex2_group[k]]) != 0;
      }
    MPI_Allreduce(has, any, 2, MPI_INT, MPI_MAX, world);
    if (any[0] && any[1])
      return true;
  }
  return false;
}

double PairHint::init_one(int i, int j) {
  cutghost[i][j] = cutghost[j][i] = cutoff;
  return cutoff;
}
