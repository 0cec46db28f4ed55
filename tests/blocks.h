// What a mask's gradient at the image's size says of a mask whose values stand for s x s pixels each.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace pen::test {

// Sums over the s x s blocks of fine (N,s h,s w,1), as doubles (N,h,w) in order.
inline std::vector<double> block_sums(const Tensor& fine, std::int64_t s) {
  const std::vector<double> values = fine.to(DType::f64).to_vector<double>();
  const auto width = static_cast<std::size_t>(fine.size(2)), side = static_cast<std::size_t>(s);
  std::vector<double> out(values.size() / (side * side));
  for (std::size_t i = 0; i < values.size(); ++i)
    out[i / width / side * (width / side) + i % width / side] += values[i];
  return out;
}

}  // namespace pen::test
