// What the targets of PyTorch's formats share.
#pragma once

#include <vector>

#include "models/torch/file.h"
#include "models/torch/json.h"
#include "tests/fuzz/fuzz.h"

namespace pen::fuzz {

// Reads a tensor whole: its elements must lie inside the file, which the address sanitizer sees to.
inline void touch(const torch::File& file, const torch::Value& v) {
  if (!v.is(torch::Kind::tensor) || !v.tensor) return;
  const torch::TensorInfo& t = *v.tensor;
  const std::size_t element = size_of(torch::memory_type(t.type));
  file.charge(t, "x", t.numel() * element);
  std::vector<std::uint8_t> memory(t.numel() * element);
  file.read_widened(t, memory.data());
}

// Opens the bytes as a file of PyTorch, prints what is in it and reads its tensors. Little memory is allowed, so that
// time goes into variety; bounds work the same at any size.
inline int read_torch_file(const std::uint8_t* data, std::size_t size) {
  return run(ErrorKind::checkpoint, data, size, [](std::span<const std::uint8_t> bytes) {
    constexpr std::uint64_t memory = 1 << 20;
    const auto file = torch::File::parse(torch::Source::memory(bytes, "x"), memory);
    must(!torch::json_of(file->root(), 5).empty(), "everything can be printed");
    if (!file->root().is(torch::Kind::dict)) return;
    for (const torch::Value* v : file->root().items) {
      touch(*file, *v);
      if (v->is(torch::Kind::dict))
        for (const torch::Value* inner : v->items) touch(*file, *inner);
    }
  });
}

}  // namespace pen::fuzz
