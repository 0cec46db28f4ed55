// Walks index spaces with plain loops on one thread.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "kernels/shared/pack.h"
#include "kernels/shared/team.h"
#include "kernels/types.h"

namespace pen::kernels::ref {

struct Exec {
  using Team = OneWorker;
  explicit Exec(const Context&) {}

  // Working memory of a kernel, not initialised.
  template <class T>
  struct Memory {
    Memory(const Exec&, std::int64_t n) : values(static_cast<std::size_t>(n)) {}
    T* data() { return values.data(); }
    std::vector<T> values;
  };

  template <class F>
  void map(std::int64_t n, F f) const {
    for (std::int64_t i = 0; i < n; ++i) f(i);
  }
  template <class Y, class F, class... X>
  void each(std::int64_t n, Y* y, F f, const X*... x) const {
    for (std::int64_t i = 0; i < n; ++i) y[i] = f(x[i]...);
  }
  template <class F>
  void eights(std::int64_t n, bool, F f) const {
    for (std::int64_t i = 0; i < n; i += 8) f(i, shared::Part{static_cast<int>(std::min<std::int64_t>(n - i, 8))});
  }
  template <class Ask, class F>
  void map_told(std::int64_t n, Ask ask, F f) const {
    const auto told = ask();
    for (std::int64_t i = 0; i < n; ++i) f(i, told);
  }
  template <class F>
  void columns(std::int64_t rows, std::int64_t cols, bool, F f) const {
    for (std::int64_t c = 0; c < cols; ++c) {
      const auto g = f.template at<1>(c);
      for (std::int64_t r = 0; r < rows; ++r) g(r);
    }
  }
  template <class F>
  void grid(std::int64_t rows, std::int64_t cols, F f) const {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c) f(r, c);
  }
  template <class F>
  void rows(std::int64_t n, F f) const {
    for (std::int64_t r = 0; r < n; ++r) f(r, Team{});
  }
  template <class F, class G>
  void reduce(std::int64_t rows, std::int64_t cols, F f, G g) const {
    for (std::int64_t r = 0; r < rows; ++r) {
      std::invoke_result_t<F, std::int64_t, std::int64_t> sum{};
      for (std::int64_t c = 0; c < cols; ++c) sum += f(r, c);
      g(r, sum);
    }
  }
  template <class F, class G>
  void reduce_middle(std::int64_t outer, std::int64_t rows, std::int64_t cols, F f, G g) const {
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t c = 0; c < cols; ++c) {
        std::invoke_result_t<F, std::int64_t, std::int64_t, std::int64_t> sum{};
        for (std::int64_t r = 0; r < rows; ++r) sum += f(o, r, c);
        g(o, c, sum);
      }
  }
};

}  // namespace pen::kernels::ref
