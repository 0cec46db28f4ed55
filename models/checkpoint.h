// Checkpoints and weight files: what is in them, written complete or not at all, read with every size checked.
//
// A checkpoint is a file that PyTorch reads (or safetensors), with the reference's keys. Parts: state_dict_classifier,
// state_dict_masker, optimizer_classifier, optimizer_masker, and whatever else a run keeps (zoo.*). `facts` are texts:
// epoch, args (the options as JSON), arch, width, input_size, class_names, the masker's options, and the run's
// counters. A file of tensors alone is a plain classifier ("conv1.weight", ...).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/classifier.h"
#include "models/masker.h"

namespace pen {

using StateDict = std::vector<NamedTensor>;

struct Checkpoint {
  std::map<std::string, std::string> facts;
  std::map<std::string, StateDict> parts;  // by prefix: "state_dict_classifier", ...

  // A fact, or an Error of kind checkpoint that names the file and the fact.
  const std::string& fact(const std::string& name) const;
  std::string fact_or(const std::string& name, const std::string& otherwise) const;
  std::int64_t integer(const std::string& name) const;
  bool has(const std::string& part) const { return parts.count(part) != 0; }
  std::string path;  // where it was read from, for messages
};

// In PyTorch's zip format (models/torch_checkpoint.h), or as safetensors if the path ends so.
void write_checkpoint(const std::string& path, const Checkpoint& checkpoint);
// Tensors as <part>.<name>, facts as metadata.
void write_safetensors(const std::string& path, const Checkpoint& checkpoint);
// A file of PyTorch (zip, legacy or tar) or safetensors, by its content. Tensors are read into the CPU's memory.
// Anything wrong with the file: an Error of kind checkpoint.
Checkpoint read_checkpoint(const std::string& path);

// What a network was built with, as facts and back.
void describe_classifier(const Classifier& classifier, double width, std::int64_t input_size, Checkpoint& into);
void describe_masker(const MaskerOptions& options, Checkpoint& into);

// The classifier of a checkpoint, or of a plain weight file. Architecture, width and class count come from the facts,
// or from names and shapes where a file has none; `arch`, if not empty, wins over both. Evaluation mode, on the CPU.
std::unique_ptr<Classifier> load_classifier(const Checkpoint& from, const std::string& arch = {});
// The masker of a checkpoint. Its options come from the facts, or from names and shapes.
std::unique_ptr<Masker> load_masker(const Checkpoint& from);

// Names of the classes that the file's classifier was trained with; empty if the file does not say.
std::vector<std::string> class_names(const Checkpoint& from);
// Side of the images that the file's networks were trained with; 224 if the file does not say.
std::int64_t input_size(const Checkpoint& from);

}  // namespace pen
