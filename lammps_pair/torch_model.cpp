/* ----------------------------------------------------------------------
   An artifact at work, by TorchScript or as machine code of AOTInductor: see torch_model.h
------------------------------------------------------------------------- */

#include "torch_model.h"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <torch/script.h>

#include <ATen/Parallel.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/cuda.h>
#include <torch/version.h>

namespace hint {

namespace {

const char *const AGAIN = "export it again with 'hint export'";

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

// What is written to std::cerr meanwhile; it is written there in the end.

class Overheard {
public:
  Overheard() : before(std::cerr.rdbuf(heard.rdbuf())) {}
  ~Overheard() {
    std::cerr.rdbuf(before);
    std::cerr << heard.str();
  }
  std::string text() const { return heard.str(); }

private:
  std::ostringstream heard;
  std::streambuf *before;
};

// Compiled code says on std::cerr why it fails. Torch's own error has the reason, too, but not in all of its
// versions, and not where C++ could not allocate.

std::vector<torch::Tensor> run_compiled(Compiled &compiled, const std::vector<torch::Tensor> &inputs) {
  const Overheard overheard;
  try {
    return compiled.run(inputs);
  } catch (const std::exception &problem) {
    const std::runtime_error heard(overheard.text());
    if (!is_out_of_memory(problem) && is_out_of_memory(heard))
      throw heard;
    throw;
  }
}

} // namespace

struct TorchModel::Parts {
  torch::jit::Module module;          // of a .hint.pt,
  std::unique_ptr<Compiled> compiled; // or of a .hint.pt2
  torch::Device device = torch::kCPU;
  torch::ScalarType dtype = torch::kFloat64;
  double cutoff = 0.0;
  std::string path;
  torch::Tensor energies, gradient; // of the last call
};

TorchModel::TorchModel() : parts(std::make_unique<Parts>()) {}

TorchModel::~TorchModel() = default;

const char *TorchModel::torch_version() {
  return TORCH_VERSION;
}

int TorchModel::gpus() {
  return torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0;
}

int TorchModel::threads() {
  return at::get_num_threads();
}

void TorchModel::use_threads(int count) {
  at::set_num_threads(count);
}

void TorchModel::use_gpu(int number) {
  parts->device = torch::Device(torch::kCUDA, number);
}

std::string TorchModel::device() const {
  return parts->device.str();
}

/* ---------------------------------------------------------------------- */

Artifact TorchModel::load(const std::string &path, bool trust) {
  parts->path = path;
  if (parts->device.is_cpu())
    keep_freed_memory();
  Artifact artifact = read_artifact(path); // nothing of it reaches torch before
  parts->dtype = artifact.float64 ? torch::kFloat64 : torch::kFloat32;
  parts->cutoff = artifact.cutoff;
  if (artifact.compiled)
    load_compiled(artifact, trust);
  else
    load_scripted(artifact);
  return artifact;
}

void TorchModel::load_scripted(const Artifact &artifact) {
  Facts facts;
  try {
    parts->module = torch::jit::load(artifact.bytes, parts->device);
    parts->module.eval();
    if (parts->module.hasattr("facts"))
      for (const auto &item : parts->module.attr("facts").toGenericDict())
        facts[item.key().toStringRef()] = item.value().toStringRef();
  } catch (const std::exception &problem) {
    throw cannot_be_loaded(problem);
  }
  check_facts(parts->path, artifact.facts, facts);
}

void TorchModel::load_compiled(Artifact &artifact, bool trust) {
  const std::string &path = parts->path;
  if (path.size() < 4 || path.compare(path.size() - 4, 4, ".pt2") != 0)
    throw ArtifactError(path + " holds machine code, which runs when it is loaded; if you trust it, name it "
                               ".hint.pt2");
  Facts facts;
  try {
    for (const auto &item : Compiled::load_metadata_from_package(path, "model"))
      facts[item.first] = item.second;
  } catch (const std::exception &problem) {
    throw cannot_be_loaded(problem);
  }
  check_facts(path, artifact.facts, facts);
  check_machine(artifact.facts);
  if (!trust)
    throw ArtifactError(
        path +
        " is machine code, which runs with your rights when it is loaded. If you made it, or trust who did, "
        "say so: trust=True (Python), --trust (hint), trust=true (i-PI), `trust` at the end of pair_coeff "
        "(LAMMPS)");
  try {
    parts->compiled = std::make_unique<Compiled>(path);
  } catch (const std::exception &problem) {
    throw cannot_be_loaded(problem);
  }
}

ArtifactError TorchModel::cannot_be_loaded(const std::exception &problem) const {
  if (is_out_of_memory(problem))
    return ArtifactError(parts->path + " does not fit into the memory of " + device() + " (" +
                         reason_of(problem) + ")");
  const std::string reason = reason_of(problem);
  const bool no_folder = reason.find("temporary directory") != std::string::npos;
  return ArtifactError(parts->path + " cannot be loaded by torch " TORCH_VERSION " (" + reason + ")" +
                       (no_folder ? "; set TMPDIR to a folder in which files may be made" : ""));
}

// Compiled models run on the kind of machine that they were made for, and nowhere else.

void TorchModel::check_machine(Facts &facts) const {
  const std::string &path = parts->path;
  const std::string torch_here = TORCH_VERSION, wanted = facts["compiled_torch"];
  if (torch_here.substr(0, torch_here.find('+')) != wanted)
    throw ArtifactError(path + " is compiled for torch " + wanted + ", and this is " + torch_here + "; " +
                        AGAIN + " --aoti");
  const std::string where = parts->device.is_cuda() ? "cuda" : "cpu", there = facts["compiled_device"];
  if (there != where)
    throw ArtifactError(path + " is compiled for device " + there + "; use the .hint.pt on " + where +
                        ", or 'pair_style hint device " + there + "'");
  const std::string lacking = not_supported(facts["compiled_cpu"]);
  if (!lacking.empty())
    throw ArtifactError(path + " is compiled for a processor with " + lacking + ", which this one lacks; " +
                        AGAIN + " --aoti on this machine");
}

/* ---------------------------------------------------------------------- */

Output TorchModel::run(const Graph &graph, int64_t own) {
  auto &[first, second, kinds, vectors] = graph;
  torch::AutoGradMode on(true);
  if (parts->compiled && (kinds.size() < 2 || first.size() < 2)) {
    // compiled models know no sizes below two: two nodes that count for nothing, and edges beyond the cutoff
    const int64_t n = kinds.size();
    const double far = 2 * parts->cutoff;
    kinds.insert(kinds.end(), {kinds[0], kinds[0]});
    first.insert(first.end(), {n, n + 1});
    second.insert(second.end(), {n + 1, n});
    vectors.insert(vectors.end(), {far, 0.0, 0.0, -far, 0.0, 0.0});
  }
  const int64_t rows = kinds.size(), columns = first.size();
  auto r = torch::from_blob(vectors.data(), {columns, 3}, torch::kFloat64);
  auto index = torch::empty({2, columns}, torch::kInt64);
  std::copy(first.begin(), first.end(), index.data_ptr<int64_t>());
  std::copy(second.begin(), second.end(), index.data_ptr<int64_t>() + columns);
  auto kind = torch::from_blob(kinds.data(), {rows}, torch::kInt64);
  auto mask = torch::zeros({rows}, parts->dtype);
  mask.narrow(0, 0, own).fill_(1.0);
  const auto &where = parts->device;
  r = r.to(where, parts->dtype), index = index.to(where), kind = kind.to(where), mask = mask.to(where);
  torch::Tensor energies, gradient;
  if (parts->compiled) {
    const auto out = run_compiled(*parts->compiled, {r, index, kind, mask});
    energies = out[0], gradient = out[1];
  } else {
    // on a CPU the profiling executor has nothing to fuse and only cuts the graph into pieces
    torch::jit::GraphOptimizerEnabledGuard optimize(!where.is_cpu());
    const auto out = parts->module.forward({r, index, kind, mask}).toTuple();
    energies = out->elements()[0].toTensor(), gradient = out->elements()[1].toTensor();
  }
  parts->energies = energies.to(torch::kCPU, torch::kFloat64).contiguous();
  parts->gradient = gradient.to(torch::kCPU, torch::kFloat64).contiguous();
  return {parts->energies.data_ptr<double>(), parts->gradient.data_ptr<double>()};
}

} // namespace hint
