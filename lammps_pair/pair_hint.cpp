/* ----------------------------------------------------------------------
   pair_style hint: potentials exported by `hint export` (hint-mlip).

   The model gets the edges of a graph and gives the energy of every node and the gradient g_ij = dE/dr_ij
   of every edge, with r_ij = r_j - r_i. From these,

     F_i = sum_j g_ij - sum_j g_ji,     virial = - sum_ij r_ij (x) g_ij

   An atom and all of its periodic images are one node. Energies of the atoms of this process depend on
   others up to `hops` edges away: the graph starts at the atoms of this process and is followed outwards,
   and ghosts that are not reached cost nothing. With one process every node is an atom of its own ("fold"),
   with several the neighbours of ghosts are needed ("ghost"), and the domain is surrounded by ghosts up to
   hops x cutoff away. Forces on ghosts are sent home by LAMMPS (newton on).
------------------------------------------------------------------------- */

#include "pair_hint.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "placement.h"
#include "universe.h"
#include "utils.h"

#include <cstdlib>
#include <cstring>
#include <thread>
#ifdef HINT_MPICH
#ifdef OPEN_MPI
#error "this LAMMPS is built with MPICH, and mpi.h is Open MPI's: their handles differ"
#endif
#endif

using namespace LAMMPS_NS;

PairHint::PairHint(LAMMPS *lmp)
    : Pair(lmp), device("auto"), mode("auto"), ghosts(false), told(false), domain_known(false),
      largest_force(0.0), cutoff(0.0), energy_unit(1.0), hops(0) {
  single_enable = 0;
  comm_reverse = 3;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_NOTAVAIL;
}

PairHint::~PairHint() {
  if (copymode)
    return;
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
    memory->destroy(cutghost);
  }
}

void PairHint::allocate() {
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  memory->create(cutghost, n, n, "pair:cutghost");
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      setflag[i][j] = 0;
      cutsq[i][j] = cutghost[i][j] = 0.0;
    }
  allocated = 1;
}

/* ----------------------------------------------------------------------
   pair_style hint [device auto|cpu|cuda|cuda:N] [mode auto|fold|ghost]
------------------------------------------------------------------------- */

void PairHint::settings(int narg, char **arg) {
  for (int i = 0; i < narg; i += 2) {
    const std::string name = arg[i];
    if (i + 1 == narg)
      error->all(FLERR, "pair_style hint: {} needs a value", name);
    const std::string value = arg[i + 1];
    if (name == "device") {
      const bool numbered = value.rfind("cuda:", 0) == 0 && value.size() > 5 &&
                            value.find_first_not_of("0123456789", 5) == std::string::npos;
      if (value != "auto" && value != "cpu" && value != "cuda" && !numbered)
        error->all(FLERR, "pair_style hint: device {} is none of auto, cpu, cuda, cuda:N", value);
      device = value;
    } else if (name == "mode") {
      if (value != "auto" && value != "fold" && value != "ghost")
        error->all(FLERR, "pair_style hint: mode {} is none of auto, fold, ghost", value);
      mode = value;
    } else {
      error->all(FLERR, "pair_style hint: unknown keyword {}; wanted device or mode", name);
    }
  }
}

/* ----------------------------------------------------------------------
   pair_coeff * * model.hint.pt H C N O: the element of every atom type, NULL for types of other styles.
   After these the word trust, without which compiled models are not loaded
------------------------------------------------------------------------- */

void PairHint::coeff(int narg, char **arg) {
  if (narg < 4 || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR, "pair_coeff for hint: wanted '* * MODEL ELEMENT ...', an element for each type");
  const bool trust = strcmp(arg[narg - 1], "trust") == 0;
  if (trust)
    narg--;
  if (narg - 3 != atom->ntypes)
    error->all(FLERR, "pair_coeff for hint: {} elements for {} atom types; name one for each type", narg - 3,
               atom->ntypes);
  if (!allocated)
    allocate();
  load(arg[2], trust);

  species.assign(atom->ntypes + 1, -1);
  std::string known;
  for (const auto &element : elements)
    known += (known.empty() ? "" : " ") + element;
  bool any = false;
  for (int type = 1; type <= atom->ntypes; type++) {
    const std::string element = arg[2 + type];
    if (element == "NULL") {
      if (!utils::strmatch(force->pair_style, "^hybrid"))
        error->all(FLERR, "pair_coeff for hint: NULL is for types of other styles, in a hybrid style");
      continue;
    }
    for (size_t k = 0; k < elements.size(); k++)
      if (elements[k] == element)
        species[type] = k;
    if (species[type] < 0)
      error->all(FLERR, "pair_coeff for hint: type {} is {}; {} knows {}", type, element, path, known);
    any = true;
  }
  if (!any)
    error->all(FLERR, "pair_coeff for hint: every type is NULL");
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = i; j <= atom->ntypes; j++)
      setflag[i][j] = species[i] >= 0 && species[j] >= 0;
}

/* ---------------------------------------------------------------------- */

void PairHint::load(const std::string &file, bool trust) {
  path = file;
  model = std::make_unique<hint::TorchModel>();
  choose_device();
  try {
    const hint::Artifact artifact = model->load(path, trust);
    elements = artifact.species;
    cutoff = artifact.cutoff;
    hops = artifact.hops;
    set_domain(artifact.domain);
    if (comm->me == 0)
      utils::logmesg(
          lmp, "pair hint: {} ({}, {}{}), cutoff {} A, {} hops, on {} with {} thread(s) a process\n", path,
          artifact.facts.at("architecture"), artifact.facts.at("dtype"),
          artifact.compiled ? ", compiled" : "", cutoff, hops, model->device(), hint::TorchModel::threads());
  } catch (const hint::ArtifactError &problem) {
    error->one(FLERR, "pair_coeff for hint: {}", problem.what());
  }
}

/* ----------------------------------------------------------------------
   Where the model runs: never anywhere else than asked for
------------------------------------------------------------------------- */

void PairHint::choose_device() {
  hint::Place in_world{0, 1};
  MPI_Comm node;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, comm->me, MPI_INFO_NULL, &node);
  MPI_Comm_rank(node, &in_world.rank);
  MPI_Comm_size(node, &in_world.ranks);
  MPI_Comm_free(&node);
  const hint::Place place = hint::place_on_node(in_world, {universe->me, universe->nprocs}, universe->nworlds,
                                                [](const char *name) { return std::getenv(name); });
  const int gpus = hint::TorchModel::gpus();
  if (device.rfind("cuda", 0) == 0 && gpus == 0)
    error->all(FLERR, "pair_style hint: device {} was asked for, and torch {} finds no GPU", device,
               hint::TorchModel::torch_version());
  if (device.rfind("cuda:", 0) == 0) {
    const int number = std::atoi(device.c_str() + 5);
    if (number >= gpus)
      error->all(FLERR, "pair_style hint: device {} was asked for, and there are {} GPUs", device, gpus);
    model->use_gpu(number);
  } else if (device == "cuda" || (device == "auto" && gpus > 0)) {
    model->use_gpu(hint::gpu_of(place, gpus));
  }
  if (!std::getenv("OMP_NUM_THREADS")) {
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    hint::TorchModel::use_threads(hint::threads_of(place, cores));
  }
}

double PairHint::memory_usage() {
  return Pair::memory_usage() + sizeof(int) * (atoms.capacity() + nodes.capacity()) + in_list.capacity() +
         sizeof(int64_t) * (first.capacity() + second.capacity() + kinds.capacity()) +
         sizeof(double) * vectors.capacity();
}
