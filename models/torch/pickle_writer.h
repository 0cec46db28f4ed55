// Values as a pickle of protocol 2, in the opcodes that torch.load's weights_only mode knows too.
#pragma once

#include "models/torch/file.h"

namespace pen::torch {

struct Pickled {
  std::string bytes;
  struct Stored {
    const Storage* storage;
    Scalar type;  // of the tensors in it
  };
  std::vector<Stored> storages;  // in the order of their keys "0", "1", ...
};

// legacy: persistent ids of six items instead of five.
Pickled pickle_value(const Value& root, bool legacy);

}  // namespace pen::torch
