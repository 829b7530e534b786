/* An artifact at work: what it is, where it runs, and one call of it. All of torch is behind this: its
   headers take a minute to compile, and define names of LAMMPS's. */

#ifndef HINT_TORCH_MODEL_H
#define HINT_TORCH_MODEL_H

#include "artifact.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace hint {

// Nodes, and edges between them; what a model is asked about. Arrays may grow in a call: see run().

struct Graph {
  std::vector<int64_t> &first, &second, &kinds; // i and j of the edges, species of the nodes
  std::vector<double> &vectors;                 // x_j - x_i of the edges, A
};

// Energies of the nodes, eV, and dE/dr of the edges, eV/A; until the next call.

struct Output {
  const double *energies, *gradient;
};

class TorchModel {
public:
  TorchModel();
  ~TorchModel();

  static const char *torch_version();
  static int gpus(); // that torch finds
  static int threads();
  static void use_threads(int);

  void use_gpu(int); // of these; a CPU if it is not called
  std::string device() const;

  // Reads, checks and loads a file; machine code only if it is trusted. Raises ArtifactError.

  Artifact load(const std::string &path, bool trust);

  // `own`: so many of the nodes, the first ones, count. Raises what torch raises.

  Output run(const Graph &, int64_t own);

private:
  struct Parts;
  std::unique_ptr<Parts> parts;

  void load_scripted(const Artifact &);
  void load_compiled(Artifact &, bool trust);
  void check_machine(Facts &) const;
  ArtifactError cannot_be_loaded(const std::exception &) const;
};

} // namespace hint

#endif
