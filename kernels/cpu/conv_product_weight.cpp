#include "kernels/cpu/conv_product_weight.h"

#include <algorithm>

#include "base/parallel.h"
#include "kernels/cpu/conv_pack.h"
#include "kernels/cpu/dnnl_common.h"
#include "kernels/cpu/lanes.h"

namespace pen::kernels::cpu {
namespace {

using std::int64_t;

constexpr int64_t panel = block_columns * lanes;           // input channels that are copied together
constexpr int64_t piece_bytes = int64_t{512} << 10;        // of gradients: they stay in the second cache
constexpr int64_t least_outputs = 64, most_outputs = 512;  // at a time

// A thread's share of the weights: blocks of output channels, panels of input channels.
struct Share {
  int64_t first_block, last_block, first_panel, last_panel;
};

// Threads divide the weights so that they read as little as they can.
struct Shares {
  explicit Shares(const Conv2d& d) : blocks((d.k + block_rows - 1) / block_rows), panels((d.c + panel - 1) / panel) {
    double least = -1;
    for (int64_t c = 1; c <= std::min<int64_t>(threads(), panels); ++c) {
      const int64_t k = std::min<int64_t>(threads() / c, blocks);
      const double reads = static_cast<double>(d.k) / static_cast<double>(k) +
                           static_cast<double>(d.c) / static_cast<double>(c) +
                           // threads without a share leave theirs to the others
                           static_cast<double>((d.k + d.c) * (threads() - k * c));
      if (least < 0 || reads < least) least = reads, parts_k = k, parts_c = c;
    }
  }
  int64_t count() const { return parts_k * parts_c; }
  Share share(int64_t i) const {
    const int64_t k = i / parts_c, c = i % parts_c;
    return {blocks * k / parts_k, blocks * (k + 1) / parts_k, panels * c / parts_c, panels * (c + 1) / parts_c};
  }
  int64_t blocks, panels, parts_k = 1, parts_c = 1;
};

// to (count, panel) = the channels from `c` of the pixels that outputs [first, first + count) read at tap (r,s); zeros
// outside of the image.
void copy_panel(const Conv2d& d, int64_t first, int64_t count, int64_t r, int64_t s, int64_t c, const float* x,
                float* to) {
  const int64_t vectors = std::min(panel, d.c - c) / lanes;
  int64_t n = first / (d.p * d.q), p = first / d.q % d.p, q = first % d.q;
  for (int64_t o = 0; o < count; ++o, to += panel) {
    const int64_t row = p * d.stride - d.pad + r * d.dilation, column = q * d.stride - d.pad + s * d.dilation;
    const bool inside = row >= 0 && row < d.h && column >= 0 && column < d.w;
    const float* const from = inside ? x + ((n * d.h + row) * d.w + column) * d.c + c : zeros;
    for (int64_t j = 0; j < vectors; ++j)
      *reinterpret_cast<Vector*>(to + j * lanes) = *reinterpret_cast<const Vector*>(from + j * lanes);
    if (++q < d.q) continue;
    q = 0;
    if (++p == d.p) p = 0, ++n;
  }
}

// Some rows of dw, one panel: rows lie `row` apart.
struct Tile {
  int64_t rows, vectors, row;
  bool add;
  Ahead ahead;
};

// out = or += the product of `count` outputs' gradients, dy, and of their inputs, x (count, panel)
void multiply(const Tile& t, int64_t k, int64_t count, const float* dy, const float* x, float* out) {
  const float* from[block_rows];
  for (int64_t i = 0; i < block_rows; ++i) {
    from[i] = dy + std::min(i, t.rows - 1);
    if (i < t.rows)
      for (int64_t j = 0; j < t.vectors; ++j) __builtin_prefetch(out + i * t.row + j * lanes, 1);
  }
  Vector sum[block_rows][block_columns];
  each_of(sum, [](Vector& v, int, int) { v = Vector{}; });
  accumulate(count, from, k, x, panel, sum, t.ahead);
  const auto store = [&](const Vector& v, int64_t i, int64_t j) {
    auto* const to = reinterpret_cast<Vector*>(out + i * t.row + j * lanes);
    *to = t.add ? *to + v : v;
  };
  if (t.rows == block_rows && t.vectors == block_columns) return each_of(sum, store);
  Vector some[block_rows][block_columns];
  each_of(sum, [&](Vector& v, int i, int j) { some[i][j] = v; });
  for (int64_t i = 0; i < t.rows; ++i)
    for (int64_t j = 0; j < t.vectors; ++j) store(some[i][j], i, j);
}

// What the first tiles of a panel ask the caches for, one line of each row: the next outputs' gradients, then inputs.
struct Next {
  const float* dy;  // null: none
  const float* x;   // null: not in order
  int64_t dy_lines;
  Ahead at(int64_t tile, const Conv2d& d) const {
    if (dy && tile < dy_lines) return {dy + tile * lanes, d.k};
    tile -= dy ? dy_lines : 0;
    if (x && tile < block_columns) return {x + tile * lanes, d.c};
    return {zeros, 0};
  }
};

// The gradient's shares of one thread: out (K, R, S, C).
void gradient_of(const Conv2d& d, const Share& o, const float* x, const float* dy, bool add, float* out) {
  const int64_t outputs = d.n * d.p * d.q, taps = d.r * d.s, first_k = o.first_block * block_rows,
                last_k = std::min(o.last_block * block_rows, d.k), row = taps * d.c;
  // As if two threads shared the channels, however many do: the length decides how sums are rounded.
  const int64_t fit = 2 * piece_bytes / (d.k * static_cast<int64_t>(sizeof(float)));
  const int64_t most = std::clamp(fit, least_outputs, most_outputs), pieces = (outputs + most - 1) / most;
  const int64_t step = (outputs + pieces - 1) / pieces;
  const bool in_order = taps == 1 && d.stride == 1 && d.pad == 0;
  auto* const inputs = static_cast<float*>(scratch(static_cast<std::size_t>(step * panel) * sizeof(float), 2));
  // What a last panel's copies leave is read too, and the sums of it thrown away: numbers, so that nothing is slow.
  std::fill(inputs, inputs + step * panel, 0.0f);
  for (int64_t begin = 0; begin < outputs; begin += step) {
    const int64_t count = std::min(step, outputs - begin);
    const bool more = begin + 2 * step <= outputs;
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t c = o.first_panel * panel; c < std::min(o.last_panel * panel, d.c); c += panel) {
        copy_panel(d, begin, count, tap / d.s, tap % d.s, c, x, inputs);
        const bool first = tap == 0 && c == o.first_panel * panel;
        const Next next{more && first ? dy + (begin + step) * d.k + first_k : nullptr,
                        more && in_order ? x + (begin + step) * d.c + c : nullptr, (last_k - first_k) / lanes};
        for (int64_t k = first_k; k < last_k; k += block_rows)
          multiply({.rows = std::min(block_rows, last_k - k),
                    .vectors = std::min(block_columns, (d.c - c) / lanes),
                    .row = row,
                    .add = add || begin > 0,
                    .ahead = next.at((k - first_k) / block_rows, d)},
                   d.k, count, dy + begin * d.k + k, inputs, out + k * row + tap * d.c + c);
      }
  }
}

}  // namespace

bool product_weight_suits(const Conv2d& d) {
  if (lanes < 16) return false;  // not measured there
  if (d.r * d.s != 1 && (d.stride == 1 || d.r * d.s > 9)) return false;
  return d.groups == 1 && d.c % lanes == 0 && d.c >= panel && d.k >= panel && d.c <= most_wide;
}

void product_weight_gradient(const Conv2d& d, const float* x, const float* dy, Accum accum, float* dw) {
  const int64_t taps = d.r * d.s;
  float* const out =
      taps == 1 ? dw : static_cast<float*>(scratch(static_cast<std::size_t>(d.k * taps * d.c) * sizeof(float), 3));
  const Shares shares(d);
  parallel_for(shares.count(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) gradient_of(d, shares.share(i), x, dy, taps == 1 && accum == Accum::add, out);
  });
  if (taps == 1) return;
  BlockedWeights layout{};  // (K,R,S,C)
  layout.k = d.k, layout.c = d.c, layout.r = d.r, layout.s = d.s;
  layout.block_k = 1, layout.block_c = d.c;
  layout.stride_k = taps * d.c, layout.stride_r = d.s * d.c, layout.stride_s = d.c;
  layout.inner_c = 1;
  layout.size = d.k * taps * d.c;
  unpack_weights(layout, out, accum, dw);
}

}  // namespace pen::kernels::cpu
