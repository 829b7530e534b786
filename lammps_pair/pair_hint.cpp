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
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
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

constexpr int FORMAT_VERSION = 1;
const char *const AGAIN = "export it again with 'hint export'";

// The first line of an error of torch's, which go on with a trace.

std::string first_line(const std::exception &error) {
  std::istringstream text(error.what());
  std::string line;
  while (std::getline(text, line))
    if (line.find_first_not_of(" \t") != std::string::npos)
      return line;
  return "unknown error";
}

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

// Let freed memory be used again, rather than be given back and asked for anew: see
// hint_plugin/core/memory.py.

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
    : Pair(lmp), device("auto"), mode("auto"), ghosts(false), told(false), cutoff(0.0), energy_unit(1.0),
      hops(0) {
  single_enable = 0;
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
   pair_coeff * * model.hint.pt H C N O: the element of every atom type, NULL for types of other styles
------------------------------------------------------------------------- */

void PairHint::coeff(int narg, char **arg) {
  if (narg < 4 || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(HINT_FLERR, "pair_coeff for hint: wanted '* * MODEL ELEMENT ...', an element for each type");
  if (narg - 3 != atom->ntypes)
    error->all(HINT_FLERR, "pair_coeff for hint: {} elements for {} atom types; name one for each type",
               narg - 3, atom->ntypes);
  if (!allocated)
    allocate();
  load(arg[2]);

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

void PairHint::load(const std::string &path) {
  model = std::make_unique<Model>();
  model->path = path;
  choose_device();
  if (model->device.is_cpu())
    keep_freed_memory();
  if (!std::ifstream(path).good())
    error->one(HINT_FLERR, "pair_coeff for hint: {} cannot be read", path);
  const bool compiled = path.size() > 4 && path.compare(path.size() - 4, 4, ".pt2") == 0;
  Facts facts;
  try {
    if (compiled) {
      for (const auto &item : Compiled::load_metadata_from_package(path, "model"))
        facts[item.first] = item.second;
    } else {
      model->module = torch::jit::load(path, model->device);
      model->module.eval();
      if (model->module.hasattr("facts"))
        for (const auto &item : model->module.attr("facts").toGenericDict())
          facts[item.key().toStringRef()] = item.value().toStringRef();
    }
  } catch (const std::exception &problem) {
    error->one(
        HINT_FLERR,
        "pair_coeff for hint: {} is no HINT artifact, or is damaged, or of another torch than {} ({}); "
        "'hint inspect' tells more",
        path, TORCH_VERSION, first_line(problem));
  }
  check(facts, compiled);
  if (compiled) { // code runs only now, made for this torch and this processor
    try {
      model->compiled = std::make_unique<Compiled>(path);
    } catch (const std::exception &problem) {
      error->one(HINT_FLERR, "pair_coeff for hint: {} cannot be loaded by torch {} ({})", path, TORCH_VERSION,
                 first_line(problem));
    }
  }
  if (comm->me == 0)
    utils::logmesg(lmp, "pair hint: {} ({}, {}{}), cutoff {} A, {} hops, on {} with {} thread(s) a process\n",
                   path, facts["architecture"], facts["dtype"], compiled ? ", compiled" : "", cutoff, hops,
                   model->device.str(), at::get_num_threads());
}

/* ----------------------------------------------------------------------
   Where the model runs: never anywhere else than asked for
------------------------------------------------------------------------- */

void PairHint::choose_device() {
  int rank_on_node = 0, ranks_on_node = 1;
  MPI_Comm node;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, comm->me, MPI_INFO_NULL, &node);
  MPI_Comm_rank(node, &rank_on_node);
  MPI_Comm_size(node, &ranks_on_node);
  MPI_Comm_free(&node);
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
    model->device = torch::Device(torch::kCUDA, rank_on_node % gpus);
  }
  if (!std::getenv("OMP_NUM_THREADS")) {
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    at::set_num_threads(std::max(1, cores / ranks_on_node));
  }
}

/* ----------------------------------------------------------------------
   What the artifact says of itself
------------------------------------------------------------------------- */

void PairHint::check(Facts &facts, bool compiled) {
  const std::string &path = model->path;
  if (facts["format"] != "hint-artifact")
    error->one(HINT_FLERR, "pair_coeff for hint: {} is a {} file, but not of 'hint export'", path,
               compiled ? "compiled" : "TorchScript");
  if (facts["format_version"] != std::to_string(FORMAT_VERSION))
    error->one(
        HINT_FLERR,
        "pair_coeff for hint: {} has format version {}; this pair style reads {}. Update hint-mlip and "
        "run 'hint lammps build', or {}",
        path, facts["format_version"], FORMAT_VERSION, AGAIN);
  std::istringstream symbols(facts["species"]);
  for (std::string symbol; symbols >> symbol;)
    model->elements.push_back(symbol);
  cutoff = std::atof(facts["cutoff"].c_str());
  hops = std::atoi(facts["hops"].c_str());
  const bool known = facts["dtype"] == "float32" || facts["dtype"] == "float64";
  if (model->elements.empty() || cutoff <= 0.0 || hops < 0 || !known)
    error->one(HINT_FLERR, "pair_coeff for hint: the metadata of {} are not complete; {}", path, AGAIN);
  model->dtype = facts["dtype"] == "float32" ? torch::kFloat32 : torch::kFloat64;
  if (!compiled)
    return;

  const std::string torch_here = TORCH_VERSION, wanted = facts["compiled_torch"];
  if (torch_here.substr(0, torch_here.find('+')) != wanted)
    error->one(HINT_FLERR, "pair_coeff for hint: {} is compiled for torch {}, and this is {}; {} --aoti",
               path, wanted, TORCH_VERSION, AGAIN);
  const std::string where = model->device.is_cuda() ? "cuda" : "cpu";
  if (facts["compiled_device"] != where)
    error->one(HINT_FLERR,
               "pair_coeff for hint: {} is compiled for device {}; use the .hint.pt on {}, or "
               "'pair_style hint device {}'",
               path, facts["compiled_device"], where, facts["compiled_device"]);
  const std::string lacking = not_supported(facts["compiled_cpu"]);
  if (!lacking.empty())
    error->one(HINT_FLERR,
               "pair_coeff for hint: {} is compiled for a processor with {}, which this one lacks; {} --aoti "
               "on this machine",
               path, lacking, AGAIN);
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
  if (ghosts) {
    neighbor->add_request(this, NeighConst::REQ_FULL | NeighConst::REQ_GHOST);
    // an atom's energy reaches so far, and atoms move by half of the skin before ghosts are sought again
    comm->cutghostuser = std::max(comm->cutghostuser, std::max(hops, 1) * cutoff + neighbor->skin);
  } else {
    neighbor->add_request(this, NeighConst::REQ_FULL);
  }
  told = false;
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
  position.assign(all, -1);
  for (int ii = 0; ii < listed; ii++)
    position[list->ilist[ii]] = ii;
  for (int ii = 0; ii < list->inum; ii++)
    if (species[type[list->ilist[ii]]] >= 0)
      node_of(list->ilist[ii]);
  const int64_t own = atoms.size();

  // level by level: neighbours of the atoms of this process, their neighbours, ...

  size_t begin = 0;
  const int levels = ghosts ? std::max(hops, 1) : 1;
  for (int level = 0; level < levels; level++) {
    const size_t end = atoms.size();
    for (size_t node = begin; node < end; node++) {
      const int i = atoms[node];
      const int place = position[i];
      if (place < 0)
        continue; // of other styles' types only
      const int *neighbours = list->firstneigh[place];
      for (int k = 0; k < list->numneigh[place]; k++) {
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
  if (n == 0)
    return;

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
    error->one(HINT_FLERR, "pair hint: {} failed on {} atoms and {} edges: {}", model->path, n, edges,
               first_line(problem));
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
  return Pair::memory_usage() + sizeof(int) * (atoms.capacity() + nodes.capacity() + position.capacity()) +
         sizeof(int64_t) * (first.capacity() + second.capacity() + kinds.capacity()) +
         sizeof(double) * vectors.capacity();
}
