// Walks index spaces with plain loops on one thread.
#pragma once

#include "kernels/types.h"

namespace pen::kernels::ref {

struct Exec {
  explicit Exec(const Context&) {}

  template <class F>
  void map(std::int64_t n, F f) const {
    for (std::int64_t i = 0; i < n; ++i) f(i);
  }
  template <class F>
  void grid(std::int64_t rows, std::int64_t cols, F f) const {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c) f(r, c);
  }
  template <class F>
  void rows(std::int64_t n, F f) const {
    for (std::int64_t r = 0; r < n; ++r) f(r);
  }
  template <class F, class G>
  void reduce(std::int64_t rows, std::int64_t cols, F f, G g) const {
    for (std::int64_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (std::int64_t c = 0; c < cols; ++c) sum += f(r, c);
      g(r, sum);
    }
  }
  template <class F, class G>
  void reduce_middle(std::int64_t outer, std::int64_t rows, std::int64_t cols, F f, G g) const {
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t c = 0; c < cols; ++c) {
        double sum = 0;
        for (std::int64_t r = 0; r < rows; ++r) sum += f(o, r, c);
        g(o, c, sum);
      }
  }
};

}  // namespace pen::kernels::ref
