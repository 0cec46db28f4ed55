#include "kernels/cpu/conv_pointwise.h"

#include <algorithm>

#include "base/parallel.h"

namespace pen::kernels::cpu {
namespace {

using std::int64_t;

constexpr int64_t panel = block_columns * lanes;  // output channels whose weights lie together
// Inputs and outputs of so many bytes are done with all panels before the next ones: they stay in the second cache,
// beside a panel.
constexpr int64_t piece_bytes = int64_t{256} << 10;
constexpr int64_t longest = 128;      // sum: rounding grows with the length, so long ones are made in pieces
constexpr int64_t blocks_ahead = 32;  // how early inputs are asked for

// Rows of a result: each is the product of the pixel at x + from, `inner` channels, and the weights, `wide` columns,
// and goes to y + to.
struct Product {
  int64_t rows, inner, wide;
  bool in_order;  // row i reads x + i * inner
};
struct Row {
  int64_t from, to;
};

// Weights (K,C) as (wide / panel, inner, panel), the last panel filled up with zeros; wide: K, or C.
BlockedWeights panels_of(const Conv2d& d, const Product& p, bool wide_is_k) {
  BlockedWeights out{};
  out.k = d.k, out.c = d.c, out.r = out.s = 1;
  out.block_k = wide_is_k ? panel : 1, out.block_c = wide_is_k ? 1 : panel;
  (wide_is_k ? out.stride_k : out.stride_c) = p.inner * panel;
  (wide_is_k ? out.stride_c : out.stride_k) = panel;
  (wide_is_k ? out.inner_k : out.inner_c) = 1;
  out.size = (p.wide + panel - 1) / panel * p.inner * panel;
  return out;
}

// Some rows of one panel.
struct Block {
  const Row* rows;
  int64_t count, columns;  // rows: at most block_rows; vectors: at most block_columns
  int64_t first;           // channel
  const float* bias;       // of all channels; null: none
  Ahead ahead;             // inputs of later blocks
};

template <bool residual, bool relu, bool gated, bool marks, bool leaky>
void make_block(int64_t inner, const Block& o, const float* x, const float* w, const Epilogue& e, float* y) {
  const float* from[block_rows];
  int64_t to[block_rows];
  for (int64_t i = 0; i < block_rows; ++i) {
    const Row row = o.rows[std::min(i, o.count - 1)];
    from[i] = x + row.from, to[i] = row.to + o.first;
    for (int64_t j = 0; j < o.columns; ++j) {
      __builtin_prefetch(y + to[i] + j * lanes, 1);
      if constexpr (residual) __builtin_prefetch(e.residual + to[i] + j * lanes, 0);
    }
  }
  using Sums = Vector[block_rows][block_columns];
  Sums sum, earlier;
  each_of(sum, [](Vector& v, int, int) { v = Vector{}; });
  const int64_t last = (inner - 1) / longest * longest;
  for (int64_t l = 0; l < last; l += longest) {
    accumulate(longest, from, 1, w + l * panel, panel, sum, Ahead{o.ahead.at + l * o.ahead.step, o.ahead.step});
    each_of(sum, [&](const Vector& v, int i, int j) { earlier[i][j] = l == 0 ? v : earlier[i][j] + v; });
    each_of(sum, [](Vector& v, int, int) { v = Vector{}; });
    for (const float*& f : from) f += longest;
  }
  accumulate(inner - last, from, 1, w + last * panel, panel, sum,
             Ahead{o.ahead.at + last * o.ahead.step, o.ahead.step});
  if (last > 0) each_of(sum, [&](Vector& v, int i, int j) { v += earlier[i][j]; });
  if (o.bias)
    each_of(sum, [&](Vector& v, int, int j) {
      if (j < o.columns) v += *reinterpret_cast<const Vector*>(o.bias + o.first + j * lanes);
    });
  if (o.count == block_rows && o.columns == block_columns)
    return each_of(sum, [&](const Vector& v, int i, int j) {
      store<residual, relu, gated, marks, leaky>(e, &v, to[i] + j * lanes, y);
    });
  Sums some;
  each_of(sum, [&](const Vector& v, int i, int j) { some[i][j] = v; });
  for (int64_t i = 0; i < o.count; ++i)
    for (int64_t j = 0; j < o.columns; ++j)
      store<residual, relu, gated, marks, leaky>(e, &some[i][j], to[i] + j * lanes, y);
}

const float* packed(const BlockedWeights& layout, WeightName name, const std::function<const void*()>& plain) {
  const dnnl::memory::desc memory({layout.size}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a);
  const auto pack = [&](void* to) {
    pack_weights(layout, static_cast<const float*>(plain()), static_cast<float*>(to));
  };
  return static_cast<const float*>(kept_weights(memory, name, pack));
}

// w in panels; find(first, count, Row*) says where rows come from and go to.
template <class Find>
void multiply(const Product& p, const float* x, const float* w, const float* b, const Epilogue& after, const Find& find,
              float* y) {
  const int64_t blocks = (p.rows + block_rows - 1) / block_rows, panels = (p.wide + panel - 1) / panel;
  const int64_t block_bytes = block_rows * (p.inner + p.wide) * static_cast<int64_t>(sizeof(float));
  const int64_t most = std::max<int64_t>(piece_bytes / block_bytes, 1);
  const auto make = [&](int64_t first_block, int64_t last_block, int64_t first_panel, int64_t last_panel) {
    const int64_t pieces = (last_block - first_block + most - 1) / most;
    const int64_t step = (last_block - first_block + pieces - 1) / pieces;
    auto* const rows = static_cast<Row*>(scratch(static_cast<std::size_t>(step * block_rows) * sizeof(Row), 2));
    for (int64_t begin = first_block; begin < last_block; begin += step) {
      const int64_t end = std::min(begin + step, last_block), origin = begin * block_rows;
      find(origin, std::min(end * block_rows, p.rows) - origin, rows);
      with_epilogue(
          after, [&]<bool... chosen>() {
            for (int64_t j = first_panel; j < last_panel; ++j)
              for (int64_t i = begin; i < end; ++i) {
                const bool asks = p.in_order && j == first_panel;
                const int64_t later = std::min(i + blocks_ahead, blocks - 1) * block_rows;
                make_block<chosen...>(p.inner,
                                      {.rows = rows + i * block_rows - origin,
                                       .count = std::min(block_rows, p.rows - i * block_rows),
                                       .columns = std::min(block_columns, p.wide / lanes - j * block_columns),
                                       .first = j * panel,
                                       .bias = b,
                                       .ahead = asks ? Ahead{x + later * p.inner, block_rows} : Ahead{zeros, 0}},
                                      x, w + j * p.inner * panel, after, y);
              }
          });
    }
  };
  // Few blocks would not divide evenly among threads: then panels do.
  if (blocks < 32 * threads() && panels >= 2 * threads())
    parallel_for(panels, 1, [&](int64_t begin, int64_t end) { make(0, blocks, begin, end); });
  else
    parallel_for(blocks, 1, [&](int64_t begin, int64_t end) { make(begin, end, 0, panels); });
}

// Calls f(o, pixel) for outputs [first, first + count): the pixel of the input that output o reads.
template <class F>
void for_pixels(const Conv2d& d, int64_t first, int64_t count, F f) {
  int64_t row = first / d.q, q = first % d.q;  // row: n * P + p
  for (int64_t o = first; o < first + count; ++o) {
    f(o, (row / d.p * d.h + row % d.p * d.stride) * d.w + q * d.stride);
    if (++q == d.q) q = 0, ++row;
  }
}

// Pixels that no output reads: what follows a sum of nothing.
void finish_gaps(const Conv2d& d, const Epilogue& after, float* dx) {
  parallel_for(d.n * d.h, 4, [&](int64_t begin, int64_t end) {
    with_epilogue(
        after, [&]<bool... chosen>() {
          for (int64_t line = begin; line < end; ++line)
            for (int64_t w = 0; w < d.w; ++w) {
              const int64_t h = line % d.h, p = h / d.stride, q = w / d.stride;
              if (p * d.stride == h && p < d.p && q * d.stride == w && q < d.q) continue;
              const Vector nothing{};
              for (int64_t c = 0; c < d.c; c += lanes)
                store<chosen...>(after, &nothing, (line * d.w + w) * d.c + c, dx);
            }
        });
  });
}

}  // namespace

bool pointwise_suits(const Conv2d& d) {
  if (lanes < 16) return false;  // not measured there
  if (d.r != 1 || d.s != 1 || d.pad != 0 || d.groups != 1 || d.c % lanes || d.k % lanes) return false;
  return std::min(d.c, d.k) >= panel && std::max(d.c, d.k) > panel;
}

void pointwise(const Conv2d& d, const float* x, const std::function<const void*()>& plain, const float* b,
               const Epilogue& after, float* y) {
  const Product p{.rows = d.n * d.p * d.q, .inner = d.c, .wide = d.k, .in_order = d.stride == 1};
  multiply(
      p, x, packed(panels_of(d, p, true), name_of(d), plain), b, after,
      [&](int64_t first, int64_t count, Row* rows) {
        for_pixels(d, first, count, [&](int64_t o, int64_t pixel) { rows[o - first] = {pixel * d.c, o * d.k}; });
      },
      y);
}

void pointwise_data_gradient(const Conv2d& d, const float* dy, const std::function<const void*()>& plain,
                             const Epilogue& after, float* dx) {
  const Product p{.rows = d.n * d.p * d.q, .inner = d.k, .wide = d.c, .in_order = true};
  multiply(
      p, dy, packed(panels_of(d, p, false), name_of_transposed(d), plain), nullptr, after,
      [&](int64_t first, int64_t count, Row* rows) {
        for_pixels(d, first, count, [&](int64_t o, int64_t pixel) { rows[o - first] = {o * d.k, pixel * d.c}; });
      },
      dx);
  if (d.p * d.q != d.h * d.w) finish_gaps(d, after, dx);
}

}  // namespace pen::kernels::cpu
