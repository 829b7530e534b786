/* ----------------------------------------------------------------------
   The file of `hint export`, checked as hint_plugin/artifact/metadata.py does before torch sees it.
------------------------------------------------------------------------- */

#ifndef HINT_ARTIFACT_H
#define HINT_ARTIFACT_H

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace caffe2::serialize {
class ReadAdapterInterface;
}

namespace hint {

using Facts = std::map<std::string, std::string>;

// Says what is wrong with the file, whose name it begins with, and what to do.

struct ArtifactError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What the model was trained on: see hint_plugin/artifact/domain.py.

struct Domain {
  bool known = false;
  std::vector<std::string> elements;
  bool distances_known = false;
  std::map<std::string, double> shortest; // "C-H" (alphabetical) -> A
  double largest_force = 0.0;             // eV/A; 0 if it is not known
};

struct Artifact {
  std::shared_ptr<caffe2::serialize::ReadAdapterInterface> bytes; // of the whole file, as they were checked
  Facts facts; // what the metadata say that the model must say, too
  std::vector<std::string> species;
  double cutoff;         // A
  int hops;              // an atom's energy depends on others so many neighbours away
  bool float64 = false;  // or float32
  bool compiled = false; // machine code of AOTInductor
  Domain domain;
};

// Reads and checks a file; its content is what was written. Raises ArtifactError.

Artifact read_artifact(const std::string &path);

// Raises ArtifactError if the model says otherwise than the metadata.

void check_facts(const std::string &path, const Facts &metadata, const Facts &model);

// What an error of torch's is about, in a line; those of TorchScript have it behind a long trace.

std::string reason_of(const std::exception &error);

bool is_out_of_memory(const std::exception &error);

} // namespace hint

#endif
