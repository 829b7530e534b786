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

#include "artifact.h"
#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "error.h"
#include "force.h"
#include "group.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "placement.h"
#include "universe.h"
#include "update.h"
#include "utils.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <thread>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define HINT_FLERR __FILE__, __LINE__ // torch's headers know nothing of FLERR, and may undo it

#include <torch/script.h>
#ifdef HINT_MPICH
#ifdef OPEN_MPI
#error "this LAMMPS is built with MPICH, and mpi.h is Open MPI's: their handles differ"
#endif
#endif

#include <ATen/Parallel.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/cuda.h>
#include <torch/version.h>

using namespace LAMMPS_NS;

namespace {

const char *const AGAIN = "export it again with 'hint export'";

// Outside of the training is a distance below 0.95 of the shortest, or a force above 1.05 of the largest, as
// in hint_plugin/artifact/domain.py.

constexpr double NEARER = 0.95, STRONGER = 1.05;

using Compiled = torch::inductor::AOTIModelPackageLoader;

// Which of these instruction sets the processor does not have, as Linux says.

std::string not_supported(const std::string &wanted) {
  std::ifstream info("/proc/cpuinfo");
  std::string line, flags;
  while (flags.empty() && std::getline(info, line))
    if (line.rfind("flags", 0) == 0 || line.rfind("Features", 0) == 0)
      flags = line.substr(line.find(':') + 1) + " ";
  std::istringstream words(wanted);
  std::string lacking;
  for (std::string word; words >> word;)
    if (flags.find(" " + word + " ") == std::string::npos)
      lacking += (lacking.empty() ? "" : ", ") + word;
  return lacking;
}

// What LAMMPS keeps from everybody but its own classes: whether 'comm_modify group' is set.

struct Reach : Comm {
  using Comm::bordergroup;
};

// Let freed memory be used again, rather than be given back and asked for anew: see
// hint_plugin/allocator.py.

void keep_freed_memory() {
#ifdef __GLIBC__
  for (const char *name : {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"})
    if (std::getenv(name))
      return;
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
#endif
}

} // namespace

struct PairHint::Model {
  torch::jit::Module module;          // of a .hint.pt,
  std::unique_ptr<Compiled> compiled; // or of a .hint.pt2
  torch::Device device = torch::kCPU;
  torch::ScalarType dtype = torch::kFloat64;
  std::vector<std::string> elements;
  std::string path;
};

/* ---------------------------------------------------------------------- */

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
      error->all(HINT_FLERR, "pair_style hint: {} needs a value", name);
    const std::string value = arg[i + 1];
    if (name == "device") {
      const bool numbered = value.rfind("cuda:", 0) == 0 && value.size() > 5 &&
                            value.find_first_not_of("0123456789", 5) == std::string::npos;
      if (value != "auto" && value != "cpu" && value != "cuda" && !numbered)
        error->all(HINT_FLERR, "pair_style hint: device {} is none of auto, cpu, cuda, cuda:N", value);
      device = value;
    } else if (name == "mode") {
      if (value != "auto" && value != "fold" && value != "ghost")
        error->all(HINT_FLERR, "pair_style hint: mode {} is none of auto, fold, ghost", value);
      mode = value;
    } else {
      error->all(HINT_FLERR, "pair_style hint: unknown keyword {}; wanted device or mode", name);
    }
  }
}

/* ----------------------------------------------------------------------
   pair_coeff * * model.hint.pt H C N O: the element of every atom type, NULL for types of other styles.
   After these the word trust, without which compiled models are not loaded
------------------------------------------------------------------------- */

void PairHint::coeff(int narg, char **arg) {
  if (narg < 4 || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(HINT_FLERR, "pair_coeff for hint: wanted '* * MODEL ELEMENT ...', an element for each type");
  const bool trust = strcmp(arg[narg - 1], "trust") == 0;
  if (trust)
    narg--;
  if (narg - 3 != atom->ntypes)
    error->all(HINT_FLERR, "pair_coeff for hint: {} elements for {} atom types; name one for each type",
               narg - 3, atom->ntypes);
  if (!allocated)
    allocate();
  load(arg[2], trust);

  species.assign(atom->ntypes + 1, -1);
  std::string known;
  for (const auto &element : model->elements)
    known += (known.empty() ? "" : " ") + element;
  bool any = false;
  for (int type = 1; type <= atom->ntypes; type++) {
    const std::string element = arg[2 + type];
    if (element == "NULL") {
      if (!utils::strmatch(force->pair_style, "^hybrid"))
        error->all(HINT_FLERR, "pair_coeff for hint: NULL is for types of other styles, in a hybrid style");
      continue;
    }
    for (size_t k = 0; k < model->elements.size(); k++)
      if (model->elements[k] == element)
        species[type] = k;
    if (species[type] < 0)
      error->all(HINT_FLERR, "pair_coeff for hint: type {} is {}; {} knows {}", type, element, model->path,
                 known);
    any = true;
  }
  if (!any)
    error->all(HINT_FLERR, "pair_coeff for hint: every type is NULL");
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = i; j <= atom->ntypes; j++)
      setflag[i][j] = species[i] >= 0 && species[j] >= 0;
}

/* ---------------------------------------------------------------------- */

void PairHint::load(const std::string &path, bool trust) {
  model = std::make_unique<Model>();
  model->path = path;
  choose_device();
  if (model->device.is_cpu())
    keep_freed_memory();
  try {
    hint::Artifact artifact = hint::read_artifact(path); // nothing of it reaches torch before
    model->elements = artifact.species;
    model->dtype = artifact.float64 ? torch::kFloat64 : torch::kFloat32;
    cutoff = artifact.cutoff;
    hops = artifact.hops;
    if (artifact.compiled)
      load_compiled(artifact, trust);
    else
      load_scripted(artifact);
    set_domain(artifact.domain);
    if (comm->me == 0)
      utils::logmesg(
          lmp, "pair hint: {} ({}, {}{}), cutoff {} A, {} hops, on {} with {} thread(s) a process\n", path,
          artifact.facts["architecture"], artifact.facts["dtype"], artifact.compiled ? ", compiled" : "",
          cutoff, hops, model->device.str(), at::get_num_threads());
  } catch (const hint::ArtifactError &problem) {
    error->one(HINT_FLERR, "pair_coeff for hint: {}", problem.what());
  }
}

void PairHint::load_scripted(const hint::Artifact &artifact) {
  hint::Facts facts;
  try {
    model->module = torch::jit::load(artifact.bytes, model->device);
    model->module.eval();
    if (model->module.hasattr("facts"))
      for (const auto &item : model->module.attr("facts").toGenericDict())
        facts[item.key().toStringRef()] = item.value().toStringRef();
  } catch (const std::exception &problem) {
    throw cannot_be_loaded(problem);
  }
  hint::check_facts(model->path, artifact.facts, facts);
}

void PairHint::load_compiled(hint::Artifact &artifact, bool trust) {
  const std::string &path = model->path;
  if (path.size() < 4 || path.compare(path.size() - 4, 4, ".pt2") != 0)
    throw hint::ArtifactError(path +
                              " holds machine code, which runs when it is loaded; if you trust it, name it "
                              ".hint.pt2");
  hint::Facts facts;
  try {
    for (const auto &item : Compiled::load_metadata_from_package(path, "model"))
      facts[item.first] = item.second;
  } catch (const std::exception &problem) {
    throw cannot_be_loaded(problem);
  }
  hint::check_facts(path, artifact.facts, facts);
  check_machine(artifact.facts);
  if (!trust)
    throw hint::ArtifactError(
        path +
        " is machine code, which runs with your rights when it is loaded. If you made it, or trust who did, "
        "say so: trust=True (Python), --trust (hint), trust=true (i-PI), `trust` at the end of pair_coeff "
        "(LAMMPS)");
  try {
    model->compiled = std::make_unique<Compiled>(path);
  } catch (const std::exception &problem) {
    throw cannot_be_loaded(problem);
  }
}

hint::ArtifactError PairHint::cannot_be_loaded(const std::exception &problem) const {
  if (hint::is_out_of_memory(problem))
    return hint::ArtifactError(model->path + " does not fit into the memory of " + model->device.str() +
                               " (" + hint::reason_of(problem) + ")");
  const std::string reason = hint::reason_of(problem);
  const bool no_folder = reason.find("temporary directory") != std::string::npos;
  return hint::ArtifactError(model->path + " cannot be loaded by torch " TORCH_VERSION " (" + reason + ")" +
                             (no_folder ? "; set TMPDIR to a folder in which files may be made" : ""));
}

/* ----------------------------------------------------------------------
   How close the pairs of elements came in training; infinity where a pair never was within the cutoff
------------------------------------------------------------------------- */

void PairHint::set_domain(const hint::Domain &domain) {
  const auto &elements = model->elements;
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
  const int gpus = torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0;
  if (device.rfind("cuda", 0) == 0 && gpus == 0)
    error->all(HINT_FLERR, "pair_style hint: device {} was asked for, and torch {} finds no GPU", device,
               TORCH_VERSION);
  if (device.rfind("cuda:", 0) == 0) {
    const int number = std::atoi(device.c_str() + 5);
    if (number >= gpus)
      error->all(HINT_FLERR, "pair_style hint: device {} was asked for, and there are {} GPUs", device, gpus);
    model->device = torch::Device(torch::kCUDA, number);
  } else if (device == "cuda" || (device == "auto" && gpus > 0)) {
    model->device = torch::Device(torch::kCUDA, hint::gpu_of(place, gpus));
  }
  if (!std::getenv("OMP_NUM_THREADS")) {
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    at::set_num_threads(hint::threads_of(place, cores));
  }
}

/* ----------------------------------------------------------------------
   Compiled models run on the kind of machine that they were made for, and nowhere else
------------------------------------------------------------------------- */

void PairHint::check_machine(hint::Facts &facts) const {
  const std::string &path = model->path;
  const std::string torch_here = TORCH_VERSION, wanted = facts["compiled_torch"];
  if (torch_here.substr(0, torch_here.find('+')) != wanted)
    throw hint::ArtifactError(path + " is compiled for torch " + wanted + ", and this is " + torch_here +
                              "; " + AGAIN + " --aoti");
  const std::string where = model->device.is_cuda() ? "cuda" : "cpu", there = facts["compiled_device"];
  if (there != where)
    throw hint::ArtifactError(path + " is compiled for device " + there + "; use the .hint.pt on " + where +
                              ", or 'pair_style hint device " + there + "'");
  const std::string lacking = not_supported(facts["compiled_cpu"]);
  if (!lacking.empty())
    throw hint::ArtifactError(path + " is compiled for a processor with " + lacking +
                              ", which this one lacks; " + AGAIN + " --aoti on this machine");
}

/* ---------------------------------------------------------------------- */

void PairHint::init_style() {
  const std::string units = update->unit_style;
  if (units == "metal")
    energy_unit = 1.0;
  else if (units == "real")
    energy_unit = utils::get_conversion_factor(utils::ENERGY, utils::METAL2REAL);
  else
    error->all(HINT_FLERR, "pair_style hint: units are {}; wanted metal or real", units);
  if (!force->newton_pair)
    error->all(HINT_FLERR, "pair_style hint needs 'newton on'");
  if (atom->tag_enable == 0)
    error->all(HINT_FLERR, "pair_style hint needs atom IDs");
  if (atom->map_style == Atom::MAP_NONE)
    error->all(HINT_FLERR, "pair_style hint needs an atom map: 'atom_modify map yes' before the box");
  refuse_what_is_wrong();
  if (mode == "fold" && comm->nprocs > 1)
    error->all(HINT_FLERR, "pair_style hint: mode fold works with one process, and there are {}; use ghost",
               comm->nprocs);
  if (atom->molecular != Atom::ATOMIC)
    for (int k = 1; k <= 3; k++)
      if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
        error->all(
            HINT_FLERR,
            "pair_style hint: bonded neighbours are left out of the neighbour list; a potential of all "
            "atoms needs 'special_bonds lj/coul 1 1 1', or an atom_style without bonds");

  ghosts = mode == "ghost" || (mode == "auto" && comm->nprocs > 1);
  ghostneigh = ghosts ? 1 : 0;
  if (ghosts && (neighbor->style == Neighbor::MULTI || neighbor->style == Neighbor::MULTI_OLD))
    error->all(HINT_FLERR,
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
    error->all(HINT_FLERR, "pair_style hint: 'neigh_modify exclude' takes neighbours from atoms whose energy "
                           "depends on them; to hold atoms where they are, leave them out of the integrating "
                           "fix, or use fix setforce");
  if (neighbor->includegroup || comm->*(&Reach::bordergroup))
    error->all(HINT_FLERR, "pair_style hint: 'neigh_modify include' and 'comm_modify group' leave out "
                           "neighbours; the energy of an atom "
                           "depends on all that are within the cutoff");
  if (!modify->get_compute_by_style("^heat/flux").empty())
    error->all(
        HINT_FLERR,
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
        error->one(HINT_FLERR,
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

/* ---------------------------------------------------------------------- */

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
  torch::Tensor energies, gradient;
  try {
    torch::AutoGradMode on(true);
    if (model->compiled && (n < 2 || edges < 2))
      add_nothing();
    const int64_t rows = kinds.size(), columns = first.size();
    auto r = torch::from_blob(vectors.data(), {columns, 3}, torch::kFloat64);
    auto index = torch::empty({2, columns}, torch::kInt64);
    std::copy(first.begin(), first.end(), index.data_ptr<int64_t>());
    std::copy(second.begin(), second.end(), index.data_ptr<int64_t>() + columns);
    auto kind = torch::from_blob(kinds.data(), {rows}, torch::kInt64);
    auto mask = torch::zeros({rows}, model->dtype);
    mask.narrow(0, 0, own).fill_(1.0);
    const auto &where = model->device;
    r = r.to(where, model->dtype), index = index.to(where), kind = kind.to(where), mask = mask.to(where);
    if (model->compiled) {
      auto out = model->compiled->run({r, index, kind, mask});
      energies = out[0], gradient = out[1];
    } else {
      // on a CPU the profiling executor has nothing to fuse and only cuts the graph into pieces
      torch::jit::GraphOptimizerEnabledGuard optimize(!where.is_cpu());
      auto out = model->module.forward({r, index, kind, mask}).toTuple();
      energies = out->elements()[0].toTensor(), gradient = out->elements()[1].toTensor();
    }
    energies = energies.to(torch::kCPU, torch::kFloat64).contiguous();
    gradient = gradient.to(torch::kCPU, torch::kFloat64).contiguous();
  } catch (const std::exception &problem) {
    const std::string reason = hint::reason_of(problem);
    if (hint::is_out_of_memory(problem))
      error->one(
          HINT_FLERR,
          "pair hint: memory ran out on {} for the {} atoms and {} edges of this process ({}); use more "
          "nodes or a GPU with more memory, a model exported with --dtype float32, or a smaller box",
          model->device.str(), n, edges, reason);
    error->one(HINT_FLERR, "pair hint: {} failed on {} atoms and {} edges: {}", model->path, n, edges,
               reason);
  }
  const double *e = energies.data_ptr<double>(), *g = gradient.data_ptr<double>();

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

/* ----------------------------------------------------------------------
   Compiled models know no sizes below two: two nodes that count for nothing, and edges longer than the cutoff
------------------------------------------------------------------------- */

void PairHint::add_nothing() {
  const int64_t n = kinds.size();
  kinds.insert(kinds.end(), {kinds[0], kinds[0]});
  first.insert(first.end(), {n, n + 1});
  second.insert(second.end(), {n + 1, n});
  vectors.insert(vectors.end(), {2 * cutoff, 0.0, 0.0, -2 * cutoff, 0.0, 0.0});
}

/* ---------------------------------------------------------------------- */

void PairHint::not_finite(const char *what, int index) {
  error->one(
      HINT_FLERR,
      "pair hint: the {} of atom {} is not finite on step {}: atoms too close, too large a timestep, or "
      "structures unlike those of the training",
      what, atom->tag[index], update->ntimestep);
}

/* ----------------------------------------------------------------------
   Says once when the structure is unlike those of the training: elements, and distances within the cutoff
------------------------------------------------------------------------- */

void PairHint::look_outside() {
  const int64_t count = model->elements.size();
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
        HINT_FLERR,
        "pair hint: the structure is outside of what the model was trained on: {}. Its numbers are "
        "extrapolation. This is said once.",
        what);
}

double PairHint::length(int64_t edge) const {
  const double *r = &vectors[3 * edge];
  return std::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
}

std::string PairHint::new_element(int64_t node) const {
  return fmt::format("no structure in training had {}, which is atom {}", model->elements[kinds[node]],
                     atom->tag[atoms[node]]);
}

std::string PairHint::too_close(int64_t edge) const {
  const int64_t i = first[edge], j = second[edge];
  const double limit = shortest[kinds[i] * model->elements.size() + kinds[j]];
  const auto &[low, high] = std::minmax(model->elements[kinds[i]], model->elements[kinds[j]]);
  return fmt::format("atoms {} and {} ({}-{}) are {:.2f} A apart; ", atom->tag[atoms[i]], atom->tag[atoms[j]],
                     low, high, length(edge)) +
         (std::isinf(limit)
              ? "training had no such pair within the cutoff"
              : fmt::format("the shortest distance of this pair in training was {:.2f} A", limit));
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
        HINT_FLERR,
        "pair hint: an atom's energy reaches {:.1f} A ({} hops of {} A), so that {} processes do {:.1f} "
        "times the work of one, and can be at most {:.1f} times as fast; use fewer processes with more "
        "threads, or a larger box",
        hops * cutoff, hops, cutoff, comm->nprocs, ratio, comm->nprocs / ratio);
}

double PairHint::memory_usage() {
  return Pair::memory_usage() + sizeof(int) * (atoms.capacity() + nodes.capacity()) + in_list.capacity() +
         sizeof(int64_t) * (first.capacity() + second.capacity() + kinds.capacity()) +
         sizeof(double) * vectors.capacity();
}
