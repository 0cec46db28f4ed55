// Looking into checkpoint files, converting, verifying and comparing them: the command `ckpt`. Every format that
// read_checkpoint takes; what is wrong with a file is an Error of kind checkpoint.
#pragma once

#include <string>
#include <vector>

#include "models/torch/file.h"

namespace pen {

// One tensor of a file: its place in the file's dictionaries ("state_dict_masker.final.0.weight") and the moments of
// its finite elements, in double.
struct TensorSummary {
  std::string name, type;
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
  double mean = 0, deviation = 0, least = 0, most = 0;
  std::uint64_t not_finite = 0;
};

struct FileSummary {
  std::string path, format;  // zip, legacy, tar, safetensors
  std::uint64_t bytes = 0;
  std::vector<TensorSummary> tensors;
  struct Line {
    int depth;
    std::string name, what;
    int tensor;  // index, or -1
  };
  std::vector<Line> tree;  // depth first; cut after 100,000 lines
  std::vector<std::string> warnings;
};
FileSummary summarize(const std::string& path);
std::string summary_text(const FileSummary& summary);
std::string summary_json(const FileSummary& summary);

// Checks everything that can be checked: structure, sizes, CRC-32 of all entries, and that every float is finite.
struct Verified {
  std::string format;
  std::size_t tensors = 0, sums = 0;  // sums: entries compared with their CRC-32
  std::uint64_t elements = 0;
};
Verified verify_checkpoint(const std::string& path);

// format: zip, legacy or safetensors. Between PyTorch's formats everything is kept; to safetensors the parts and facts
// of read_checkpoint, 16-bit floats as float32.
void convert_checkpoint(const std::string& from, const std::string& to, const std::string& format);

// What differs between two files as read_checkpoint reads them: one line for each tensor or fact, empty if nothing.
std::vector<std::string> checkpoint_differences(const std::string& a, const std::string& b);

}  // namespace pen
