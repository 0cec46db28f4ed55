// Walks index spaces with all threads. Reductions are cut into pieces of a fixed size and summed in a fixed order, so
// that the bits do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "base/parallel.h"
#include "kernels/shared/pack.h"
#include "kernels/shared/team.h"
#include "kernels/shared/two_sums.h"
#include "kernels/types.h"

namespace pen::kernels::cpu {

struct Exec {
  using Team = OneWorker;
  explicit Exec(const Context&) {}
  static constexpr std::int64_t grain = 16384;  // elements that are worth waking a thread for

  // Working memory of a kernel, not initialised.
  template <class T>
  struct Memory {
    Memory(const Exec&, std::int64_t n) : values(static_cast<std::size_t>(n)) {}
    T* data() { return values.data(); }
    std::vector<T> values;
  };

  template <class F>
  void map(std::int64_t n, F f) const {
    parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
      const F g = f;
#pragma GCC ivdep
      for (std::int64_t i = begin; i < end; ++i) g(i);
    });
  }

  // The same with what ask() says, which each worker asks once: loops that read it again for each element are not made
  // into vector code.
  template <class Ask, class F>
  void map_told(std::int64_t n, Ask ask, F f) const {
    parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
      const F g = f;
      const auto told = ask();
#pragma GCC ivdep
      for (std::int64_t i = begin; i < end; ++i) g(i, told);
    });
  }

  template <class Y, class F, class... X>
  void each(std::int64_t n, Y* y, F f, const X*... x) const {
    map(n, [=](std::int64_t i) { y[i] = f(x[i]...); });
  }

  template <class F>
  void eights(std::int64_t n, bool whole, F f) const {
    parallel_for(bit_bytes(n), grain / 8, [&](std::int64_t begin, std::int64_t end) {
      const F g = f;
      for (std::int64_t i = 8 * begin; i < 8 * end; i += 8)
        if (whole && i + 8 <= n)
          g(i, shared::Whole{});
        else
          g(i, shared::Part{static_cast<int>(std::min<std::int64_t>(n - i, 8))});
    });
  }

  template <class F>
  void columns(std::int64_t rows, std::int64_t cols, bool whole, F f) const {
    parallel_for(rows, grain / std::max<std::int64_t>(cols, 1) + 1, [&](std::int64_t begin, std::int64_t end) {
      each_pack(cols, whole, [&](auto width, std::int64_t c) {
        const auto g = f.template at<width>(c);
        for (std::int64_t r = begin; r < end; ++r) g(r);
      });
    });
  }

  template <class wide, class F, class G>
  void two_sums(std::int64_t rows, std::int64_t cols, bool whole, F f, G g) const {
    constexpr std::int64_t piece = 512;
    const std::int64_t pieces = (rows + piece - 1) / piece;
    std::vector<TwoSums> partial(static_cast<std::size_t>(pieces * cols));
    parallel_for(pieces, std::max<std::int64_t>(grain / std::max<std::int64_t>(std::min(rows, piece) * cols, 1), 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t p = begin; p < end; ++p)
                     each_pack(cols, whole, [&](auto width, std::int64_t c) {
                       shared::SumsOfColumns<wide, width> sums;
                       sums.add(f.template at<width>(c), p * piece, std::min(rows, (p + 1) * piece), 1);
                       for (int l = 0; l < width; ++l) partial[static_cast<std::size_t>(p * cols + c + l)] = sums.of(l);
                     });
                 });
    for (std::int64_t c = 0; c < cols; ++c) {
      TwoSums sums{};
      for (std::int64_t p = 0; p < pieces; ++p) sums += partial[static_cast<std::size_t>(p * cols + c)];
      g(c, sums);
    }
  }

  template <class F>
  void grid(std::int64_t rows, std::int64_t cols, F f) const {
    parallel_for(rows, grain / std::max<std::int64_t>(cols, 1) + 1, [&](std::int64_t begin, std::int64_t end) {
      const F g = f;
      for (std::int64_t r = begin; r < end; ++r) {
#pragma GCC ivdep
        for (std::int64_t c = 0; c < cols; ++c) g(r, c);
      }
    });
  }

  template <class F>
  void rows(std::int64_t n, F f) const {
    parallel_for(n, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) f(r, Team{});
    });
  }

  template <class F, class G>
  void reduce(std::int64_t rows, std::int64_t cols, F f, G g) const {
    using Sum = std::invoke_result_t<F, std::int64_t, std::int64_t>;
    constexpr std::int64_t piece = 32768;
    const std::int64_t pieces = std::max<std::int64_t>((cols + piece - 1) / piece, 1);
    std::vector<Sum> partial(static_cast<std::size_t>(rows * pieces));
    parallel_for(rows * pieces, std::max<std::int64_t>(grain / std::max<std::int64_t>(std::min(cols, piece), 1), 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   const F h = f;
                   for (std::int64_t t = begin; t < end; ++t)
                     partial[static_cast<std::size_t>(t)] =
                         sum_row(h, t / pieces, t % pieces * piece, std::min(cols, (t % pieces + 1) * piece));
                 });
    for (std::int64_t r = 0; r < rows; ++r) {
      Sum sum{};
      for (std::int64_t i = 0; i < pieces; ++i) sum += partial[static_cast<std::size_t>(r * pieces + i)];
      g(r, sum);
    }
  }

  template <class F, class G>
  void reduce_middle(std::int64_t outer, std::int64_t rows, std::int64_t cols, F f, G g) const {
    if (cols == 1) {
      reduce(
          outer, rows, [=](std::int64_t o, std::int64_t r) { return f(o, r, 0); },
          [=](std::int64_t o, auto sum) { g(o, 0, sum); });
      return;
    }
    using Sum = std::invoke_result_t<F, std::int64_t, std::int64_t, std::int64_t>;
    constexpr std::int64_t piece = 512;
    const std::int64_t pieces = std::max<std::int64_t>((rows + piece - 1) / piece, 1);
    std::vector<Sum> partial(static_cast<std::size_t>(outer * pieces * cols));
    parallel_for(outer * pieces,
                 std::max<std::int64_t>(grain / std::max<std::int64_t>(std::min(rows, piece) * cols, 1), 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   const F h = f;
                   for (std::int64_t t = begin; t < end; ++t) {
                     const std::int64_t o = t / pieces, last = std::min(rows, (t % pieces + 1) * piece);
                     Sum* sums = partial.data() + t * cols;
                     for (std::int64_t r = t % pieces * piece; r < last; ++r) {
#pragma GCC ivdep
                       for (std::int64_t c = 0; c < cols; ++c) sums[c] += h(o, r, c);
                     }
                   }
                 });
    parallel_for(outer * cols, grain / pieces + 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t o = i / cols, c = i % cols;
        Sum sum{};
        for (std::int64_t p = 0; p < pieces; ++p) sum += partial[static_cast<std::size_t>((o * pieces + p) * cols + c)];
        g(o, c, sum);
      }
    });
  }

 private:
  // h(width, col) for all columns, eight at a time where they may be read so.
  template <class H>
  static void each_pack(std::int64_t cols, bool whole, H h) {
    if (whole && cols % 8 == 0) {
      for (std::int64_t c = 0; c < cols; c += 8) h(std::integral_constant<int, 8>{}, c);
    } else {
      for (std::int64_t c = 0; c < cols; ++c) h(std::integral_constant<int, 1>{}, c);
    }
  }

  // Eight running sums, so that the additions need not wait for each other.
  template <class F>
  static auto sum_row(const F& f, std::int64_t row, std::int64_t begin, std::int64_t end) {
    std::invoke_result_t<F, std::int64_t, std::int64_t> lane[8] = {};
    std::int64_t c = begin;
    for (; c + 8 <= end; c += 8)
      for (std::int64_t j = 0; j < 8; ++j) lane[j] += f(row, c + j);
    for (; c < end; ++c) lane[0] += f(row, c);
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
  }
};

}  // namespace pen::kernels::cpu
