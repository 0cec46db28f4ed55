// A copy of float32 weights in the type of 16-bit activations.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace pen {

// Made anew when the weights have changed, and not for each pass.
class Narrowed {
 public:
  // w as `type`, without history; undefined where that is no type of 16 bit. What was returned before keeps its
  // contents as long as somebody holds it.
  Tensor of(const Tensor& w, DType type);

 private:
  Tensor copy_;
  std::uint64_t storage_ = 0, version_ = 0;  // of the weights that it was made of
};

}  // namespace pen
