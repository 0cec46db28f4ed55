// Leaves of graphs for tests: tensors of doubles that want a gradient.
#pragma once

#include <vector>

#include "tensor/ops.h"
#include "tests/gradcheck.h"

namespace pen::test {

using Doubles = std::vector<double>;

inline Tensor leaf(const Doubles& values) {
  Tensor t = Tensor::from(values, {static_cast<std::int64_t>(values.size())});
  t.set_requires_grad(true);
  return t;
}
inline Tensor leaf(const Tensor& t) {
  Tensor copy = t.clone();
  copy.set_requires_grad(true);
  return copy;
}
inline Doubles of(const Tensor& t) { return t.to_vector<double>(); }

}  // namespace pen::test
