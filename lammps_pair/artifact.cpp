/* ----------------------------------------------------------------------
   Reading an artifact: a zip archive with TorchScript or machine code, and HINT's metadata as JSON.

   The file is read once. What is hashed here is what torch gets afterwards, except that AOTInductor reads
   compiled models from their path.
------------------------------------------------------------------------- */

#include "artifact.h"

#include "metadata_json.h"
#include "sha256.h"

#include <algorithm>
#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <cstring>
#include <fstream>
#include <iterator>
#include <new>
#include <set>
#include <sstream>

namespace hint {

namespace {

constexpr int FORMAT_VERSION = 1;
const char *const ENTRY = "extra/hint.json";
const char *const AGAIN = "; export it again with 'hint export'";
const char *const DAMAGED = " is damaged: its content differs from what was written; copy it again";

using caffe2::serialize::PyTorchStreamReader;

class Memory : public caffe2::serialize::ReadAdapterInterface {
public:
  explicit Memory(std::string bytes) : bytes(std::move(bytes)) {}
  size_t size() const override { return bytes.size(); }
  size_t read(uint64_t position, void *buffer, size_t n, const char * = "") const override {
    const size_t start = std::min<uint64_t>(position, bytes.size()),
                 taken = std::min(n, bytes.size() - start);
    std::memcpy(buffer, bytes.data() + start, taken);
    return taken;
  }

private:
  const std::string bytes;
};

// A name without folder and suffix is that of a model that comes with HINT, or a slip.

std::string not_read(const std::string &path) {
  const std::string said = path + " cannot be read, or is empty";
  if (path.find_first_of("/.") != std::string::npos)
    return said;
  return said + ". LAMMPS takes the path of a file; of a model that comes with HINT, 'hint model path " +
         path + "' prints it";
}

std::string read_file(const std::string &path) {
  std::string bytes;
  try {
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  } catch (const std::ios::failure &) { // a folder
  }
  if (bytes.empty())
    throw ArtifactError(not_read(path));
  return bytes;
}

uint32_t crc32(const std::string &bytes) {
  uint32_t sum = ~0U;
  for (const char c : bytes) {
    sum ^= static_cast<unsigned char>(c);
    for (int k = 0; k < 8; k++)
      sum = (sum >> 1) ^ (sum & 1 ? 0xEDB88320U : 0U);
  }
  return ~sum;
}

// torch says nothing of a compressed entry that cannot be unpacked, and the memory that it gives back may
// hold what another file has left there, even the right bytes. So the memory is ours, and filled.

std::string record(PyTorchStreamReader &reader, const std::string &name) {
  std::string data(reader.getRecordSize(name), '\xA5');
  const size_t size = reader.getRecord(name, data.data(), data.size());
  if (size != data.size())
    throw std::runtime_error("its entry " + name + " has another size");
  return data;
}

uint32_t word_at(const Memory &bytes, uint64_t position) {
  unsigned char b[4] = {};
  bytes.read(position, b, 4);
  return b[0] | b[1] << 8 | b[2] << 16 | uint32_t(b[3]) << 24;
}

// The metadata hold the hash and are not in it. The archive has a checksum of theirs, which torch does not
// look at: in the header of the entry, or, as torch writes, behind its data (bit 3 of the flags).

std::string checked_metadata(PyTorchStreamReader &reader, const Memory &bytes) {
  const std::string text = record(reader, ENTRY);
  const uint64_t header = reader.getRecordHeaderOffset(ENTRY);
  const bool behind = word_at(bytes, header + 6) & 8;
  const uint64_t end = reader.getRecordOffset(ENTRY) + text.size();
  constexpr uint32_t SIGNATURE = 0x08074b50;
  const uint64_t place = !behind ? header + 14 : end + (word_at(bytes, end) == SIGNATURE ? 4 : 0);
  if (crc32(text) != word_at(bytes, place))
    throw std::runtime_error("bad CRC-32 of its metadata");
  return text;
}

// As content_hash in hint_plugin/artifact/metadata.py: all entries but the metadata and torch's random
// identifier.

std::string content_hash(PyTorchStreamReader &reader, std::vector<std::string> names) {
  Sha256 digest;
  std::sort(names.begin(), names.end());
  for (const auto &name : names) {
    if (name == ENTRY || name.rfind(".data/", 0) == 0)
      continue;
    const std::string data = record(reader, name);
    const std::string head = name + '\0' + std::to_string(data.size()) + '\0';
    digest.update(head.data(), head.size());
    digest.update(data.data(), data.size());
  }
  return digest.hex();
}

std::string what_else(const std::vector<std::string> &names) {
  const auto has = [&](const char *name) { return std::count(names.begin(), names.end(), name) > 0; };
  if (has("constants.pkl"))
    return " (it is a TorchScript file of something else)";
  return has("data.pkl") ? " (it is a pickle, as torch.save writes it, and is not loaded)" : "";
}

bool is_symbol(const std::string &text) {
  return !text.empty() && text.size() <= 2 && std::isupper(static_cast<unsigned char>(text[0])) &&
         (text.size() == 1 || std::islower(static_cast<unsigned char>(text[1])));
}

// What cannot be, or nothing: as Metadata._wrong in Python.

std::string read_facts(const Json &found, Artifact &artifact) {
  const auto &species = found["species"];
  std::string list;
  for (const auto &item : species.items) {
    list += (list.empty() ? "" : " ") + item.text;
    artifact.species.push_back(item.text);
    if (!is_symbol(item.text))
      return "species " + item.text;
  }
  const std::set<std::string> once(artifact.species.begin(), artifact.species.end());
  if (once.empty() || once.size() < artifact.species.size())
    return "species " + (list.empty() ? "(none)" : list);
  artifact.cutoff = found["cutoff"].number();
  if (!(artifact.cutoff > 0.0 && artifact.cutoff < 100.0))
    return "a cutoff of " + found["cutoff"].text + " A";
  const double hops = found["hops"].number();
  if (!(hops >= 0.0 && hops < 1000.0 && hops == std::floor(hops)))
    return found["hops"].text + " hops";
  artifact.hops = static_cast<int>(hops);
  const std::string dtype = found["dtype"].text;
  if (dtype != "float32" && dtype != "float64")
    return "dtype " + dtype;
  artifact.float64 = dtype == "float64";
  const auto &units = found["units"];
  if (units["energy"].text != "eV" || units["length"].text != "A" || units["forces"].text != "eV/A" ||
      units["stress"].text != "eV/A^3")
    return "other units than eV and A";
  artifact.facts = {{"format", found["format"].text},
                    {"format_version", found["format_version"].text},
                    {"architecture", found["architecture"].text},
                    {"species", list},
                    {"cutoff", found["cutoff"].text},
                    {"hops", found["hops"].text},
                    {"dtype", dtype}};
  const auto &compiled = found["compiled"].fields;
  for (const auto &[name, value] : compiled)
    artifact.facts["compiled_" + name] = value.text;
  artifact.compiled = !compiled.empty();
  const bool complete = compiled.count("device") && compiled.count("torch") && compiled.count("machine") &&
                        compiled.count("cpu");
  return artifact.compiled && !complete ? "not what it is compiled for" : "";
}

std::string read_domain(const Json &found, Domain &domain) {
  domain.known = found.kind != Json::NOTHING;
  for (const auto &item : found["elements"].items)
    domain.elements.push_back(item.text);
  domain.distances_known = found["shortest_distances"].kind == Json::OBJECT;
  for (const auto &[pair, value] : found["shortest_distances"].fields) {
    const double distance = value.number();
    if (!(distance > 0.0))
      return "a shortest distance of " + value.text + " A for " + pair;
    domain.shortest[pair] = distance;
  }
  const auto &force = found["largest_force"];
  if (force.kind != Json::NOTHING) {
    domain.largest_force = force.number();
    if (!(domain.largest_force > 0.0))
      return "a largest force of " + force.text + " eV/A";
  }
  return domain.known && domain.elements.empty() ? "a training_domain without elements" : "";
}

// The text ends with its own hash, see hint_plugin/artifact/metadata.py; files of before have none.

bool is_as_written(const std::string &text, const Json &digest) {
  if (digest.kind == Json::NOTHING)
    return true;
  const auto end = [](const std::string &hash) { return "\"digest\": \"" + hash + "\"\n}"; };
  const std::string line = end(digest.text);
  if (digest.kind != Json::STRING || text.size() < line.size() ||
      text.compare(text.size() - line.size(), line.size(), line) != 0)
    return false;
  const std::string plain = text.substr(0, text.size() - line.size()) + end("");
  Sha256 sum;
  sum.update(plain.data(), plain.size());
  return sum.hex() == digest.text;
}

void read_metadata(const std::string &path, const Json &found, Artifact &artifact) {
  if (found["format"].text != "hint-artifact")
    throw ArtifactError(path + " is not a HINT artifact; write one with 'hint export'");
  if (found["format_version"].text != std::to_string(FORMAT_VERSION))
    throw ArtifactError(path + " has format version " + found["format_version"].text +
                        "; this pair style reads " + std::to_string(FORMAT_VERSION) +
                        ". Update hint-mlip and run 'hint lammps build'" + AGAIN);
  std::string wrong = read_facts(found, artifact);
  if (wrong.empty())
    wrong = read_domain(found["training_domain"], artifact.domain);
  if (!wrong.empty())
    throw ArtifactError(path + ": its metadata say " + wrong + AGAIN);
}

} // namespace

Artifact read_artifact(const std::string &path) {
  Artifact artifact;
  const auto bytes = std::make_shared<Memory>(read_file(path));
  artifact.bytes = bytes;
  std::unique_ptr<PyTorchStreamReader> reader;
  std::vector<std::string> names;
  std::string metadata, content;
  try {
    reader = std::make_unique<PyTorchStreamReader>(artifact.bytes);
    names = reader->getAllRecords();
  } catch (const std::exception &problem) {
    throw ArtifactError(path + " is truncated, damaged, or no HINT artifact (" + reason_of(problem) +
                        "); write one with 'hint export'");
  }
  if (std::count(names.begin(), names.end(), ENTRY) == 0)
    throw ArtifactError(path + " is not a HINT artifact" + what_else(names) +
                        "; write one with 'hint export'");
  if (std::set<std::string>(names.begin(), names.end()).size() < names.size())
    throw ArtifactError(path + DAMAGED); // two entries of one name: which one is read is anybody's guess
  try {
    metadata = checked_metadata(*reader, *bytes);
    content = content_hash(*reader, names);
  } catch (const std::exception &problem) {
    throw ArtifactError(path + " is damaged (" + reason_of(problem) + "); copy or export it again");
  }
  Json found;
  try {
    found = JsonReader(metadata).read();
  } catch (const std::exception &problem) {
    throw ArtifactError(path + ": " + problem.what() + AGAIN);
  }
  if (!is_as_written(metadata, found["digest"]))
    throw ArtifactError(path +
                        ": its metadata are not what was written (their hash differs); copy it again, or" +
                        " export it again");
  read_metadata(path, found, artifact);
  if (content != found["content"].text)
    throw ArtifactError(path + DAMAGED);
  return artifact;
}

void check_facts(const std::string &path, const Facts &metadata, const Facts &model) {
  for (const auto &[name, value] : metadata) {
    const auto said = model.find(name);
    if (said == model.end() || said->second != value)
      throw ArtifactError(path + ": model and metadata disagree on " + name + " (" +
                          (said == model.end() ? "nothing" : said->second) + " and " + value + ")" + AGAIN);
  }
}

std::string reason_of(const std::exception &error) {
  std::istringstream text(error.what());
  std::string line, first, last;
  while (std::getline(text, line)) {
    const size_t start = line.find_first_not_of(" \t"), name = line.find("Error: ");
    if (start == std::string::npos)
      continue;
    if (first.empty())
      first = line.substr(start);
    if (name != std::string::npos && line.find(' ') >= name) // "RuntimeError: why", the end of a trace
      last = line.substr(name + std::strlen("Error: "));
  }
  return last.empty() ? (first.empty() ? "unknown error" : first) : last;
}

bool is_out_of_memory(const std::exception &error) {
  const std::string text = error.what();
  for (const char *words :
       {"not enough memory", "out of memory", "annot allocate memory", "can't allocate memory", "bad_alloc"})
    if (text.find(words) != std::string::npos)
      return true;
  return dynamic_cast<const std::bad_alloc *>(&error) != nullptr;
}

} // namespace hint

// Whether an error with this text is one of memory; for tests.

extern "C" int hint_is_out_of_memory(const char *text) {
  return hint::is_out_of_memory(std::runtime_error(text));
}

// The check alone, for programs without LAMMPS and for tests: what is wrong with a file, or nothing.

extern "C" void hint_artifact_problem(const char *path, char *buffer, size_t size) {
  std::string said;
  try {
    hint::read_artifact(path);
  } catch (const std::exception &problem) {
    said = problem.what();
  }
  if (size > 0) {
    const size_t kept = std::min(size - 1, said.size());
    std::memcpy(buffer, said.data(), kept);
    buffer[kept] = '\0';
  }
}
