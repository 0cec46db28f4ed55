// Small loops over what was read from a network: (N,H,W,C) down to maps (N,H,W). They run on the CPU in double.
#pragma once

#include "base/parallel.h"
#include "tensor/tensor.h"

namespace pen::eval {

// map(n,i,j) = f(pixel): `pixel` a pointer to the C values of a, then (if b is defined) one to those of b.
// The result has the dtype of a and lies on the CPU.
template <class F>
Tensor map_pixels(const Tensor& a, const Tensor& b, F f) {
  const std::vector<double> va = a.to(DType::f64).to_vector<double>();
  const std::vector<double> vb = b.defined() ? b.to(DType::f64).to_vector<double>() : std::vector<double>{};
  const std::int64_t c = a.size(3), count = a.numel() / c;
  std::vector<double> out(static_cast<std::size_t>(count));
  parallel_for(count, 256, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      out[static_cast<std::size_t>(i)] = f(va.data() + i * c, vb.empty() ? nullptr : vb.data() + i * c, c, i);
  });
  return Tensor::from(out, {a.size(0), a.size(1), a.size(2)}).to(a.dtype());
}

}  // namespace pen::eval
