// The arrays of a convolution, for tests that hold one way to compute it against another.
#pragma once

#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "kernels/types.h"

namespace pen::test {

inline std::int64_t size_x(const kernels::Conv2d& d) { return d.n * d.h * d.w * d.c; }
inline std::int64_t size_w(const kernels::Conv2d& d) { return d.k * d.c * d.r * d.s; }
inline std::int64_t size_y(const kernels::Conv2d& d) { return d.n * d.p * d.q * d.k; }

// Numbers in [-1, 1); other streams have others.
template <class real>
std::vector<real> numbers(std::int64_t n, std::uint64_t stream) {
  std::vector<real> out;
  for (std::int64_t i = 0; i < n; ++i)
    out.push_back(
        static_cast<real>(static_cast<wide_t<real>>(2 * philox_uniform(5, stream, static_cast<std::uint64_t>(i)) - 1)));
  return out;
}

// Rows of `cols` numbers as columns, in each of `blocks`.
template <class real>
std::vector<real> transposed(std::int64_t blocks, std::int64_t rows, std::int64_t cols, const std::vector<real>& from) {
  PEN_CHECK(blocks * rows * cols == static_cast<std::int64_t>(from.size()), from.size(), " numbers for ", blocks, " x ",
            rows, " x ", cols);
  std::vector<real> out(from.size());
  for (std::int64_t b = 0; b < blocks; ++b)
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c)
        out[static_cast<std::size_t>((b * cols + c) * rows + r)] =
            from[static_cast<std::size_t>((b * rows + r) * cols + c)];
  return out;
}

}  // namespace pen::test
