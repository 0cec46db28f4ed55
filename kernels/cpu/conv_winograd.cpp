#include "kernels/cpu/conv_winograd.h"

#include <algorithm>

#include "base/parallel.h"
#include "kernels/cpu/winograd_walk.h"

namespace pen::kernels::cpu {
namespace {

using std::int64_t;
using tile::apart;
using tile::block;
using tile::points;
using tile::step;
using tile::Tiles;

constexpr int64_t panel = block_columns * lanes;  // output channels whose weights lie together

// Transformed weights are four times as large. Those of ResNet-50's last stage are 38 MB for each layer and direction,
// a fifth of the memory of a FIX step, for a few hundredths of its time: only where asked for. They are read as often
// as there are pieces of tiles, so few tiles are not worth it.
constexpr int64_t many_weights = 256 * 256, enough_tiles = 4 * block_rows;

// u (K / panel,36,C,panel) = G w G^T for w (K,C,3,3), the last panel filled up with zeros
void transform_weights(int64_t k, int64_t c, const float* w, float* u) {
  const int64_t blocks = c / block;
  if (k % panel) std::fill_n(u + k / panel * points * c * panel, points * c * panel, 0.0f);
  parallel_for(k / lanes * blocks, 4, [=](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t k0 = t / blocks * lanes, c0 = t % blocks * block;
      float turned[block * 9][lanes];
      for (int64_t i = 0; i < lanes; ++i)
        for (int64_t e = 0; e < block * 9; ++e) turned[e][i] = w[((k0 + i) * c + c0) * 9 + e];
      float* const to = u + k0 / panel * points * c * panel + k0 % panel;
      for (int64_t j = 0; j < block; ++j) {
        Vector half[6 * 3], whole[points];
        const auto* const g = reinterpret_cast<const Vector*>(turned[j * 9]);
        for (int s = 0; s < 3; ++s) tile::filter(g + s, 3, half + s, 3);
        for (int r = 0; r < 6; ++r) tile::filter(half + 3 * r, 1, whole + 6 * r, 1);
        for (int64_t e = 0; e < points; ++e) *reinterpret_cast<Vector*>(to + (e * c + c0 + j) * panel) = whole[e];
      }
    }
  });
}

// m (tiles,panel) = v (tiles,C + apart) u (C,panel). `next` is the panel that will be read after this one.
void multiply_panel(int64_t tiles, int64_t c, const float* v, const float* u, const float* next, float* m) {
  for (int64_t first = 0; first < tiles; first += block_rows) {
    const float* from[block_rows];
    for (int64_t i = 0; i < block_rows; ++i) from[i] = v + std::min(first + i, tiles - 1) * (c + apart);
    Vector sum[block_rows][block_columns];
    each_of(sum, [](Vector& s, int, int) { s = Vector{}; });
    const bool asks = first / block_rows < block_columns;
    accumulate(c, from, 1, u, panel, sum, asks ? Ahead{next + first / block_rows * c * lanes, lanes} : Ahead{zeros, 0});
    float* const to = m + first * panel;
    each_of(sum, [&](const Vector& s, int i, int j) {
      *reinterpret_cast<Vector*>(to + (i * block_columns + j) * lanes) = s;
    });
  }
}

// y = epilogue(A^T m A + b) for the channels [k0, k0 + panel), m (36,of,panel)
template <bool... chosen>
void finish_tiles(const Conv2d& d, const Tiles& all, int64_t first, int64_t tiles, int64_t of, int64_t k0,
                  const float* m, const float* b, const Epilogue& e, float* y) {
  for (int64_t t = 0; t < tiles; ++t) {
    const auto [n, top, left] = all.place(first + t);
    const int64_t rows = std::min(step, d.p - top), columns = std::min(step, d.q - left);
    for (int64_t k = k0; k < std::min(k0 + panel, d.k); k += lanes) {
      Vector in[points], half[4 * 6], out[4 * 4];
      for (int64_t i = 0; i < points; ++i) in[i] = *reinterpret_cast<const Vector*>(m + (i * of + t) * panel + k - k0);
      for (int j = 0; j < 6; ++j) tile::output(in + j, 6, half + j, 6);
      for (int i = 0; i < 4; ++i) tile::output(half + 6 * i, 1, out + 4 * i, 1);
      if (b)  // by index: a reference would promise the alignment of a whole vector
        for (int64_t i = 0; i < step * step; ++i) out[i] += *reinterpret_cast<const Vector*>(b + k);
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j)
          store<chosen...>(e, out + 4 * i + j, ((n * d.p + top + i) * d.q + left + j) * d.k + k, y);
    }
  }
}

// Tiles at a time: both transforms of them stay in the second cache, beside a panel.
int64_t chunk_of(const Conv2d& d) {
  const int64_t fit = (int64_t{512} << 10) / (points * (d.c + panel + apart) * static_cast<int64_t>(sizeof(float)));
  return std::max<int64_t>(fit / block_rows, 4) * block_rows;
}

struct Work {
  const Conv2d& d;
  const Tiles& tiles;
  const float *u, *b;
  const Epilogue& after;
  float* y;
};

// Panels [begin, end) of so many tiles from `first`, whose transforms v have `of` tiles between points.
void multiply(const Work& w, int64_t first, int64_t tiles, int64_t of, const float* v, int64_t begin, int64_t end) {
  const int64_t c = w.d.c, rows = (tiles + block_rows - 1) / block_rows * block_rows;
  auto* const m = static_cast<float*>(scratch(static_cast<std::size_t>(points * rows * panel) * sizeof(float), 3));
  for (int64_t j = begin; j < end; ++j) {
    for (int64_t e = 0; e < points; ++e) {
      const float* const u = w.u + (j * points + e) * c * panel;
      const bool last = j + 1 == end && e + 1 == points;
      multiply_panel(tiles, c, v + e * of * (c + apart), u, last ? u : u + c * panel, m + e * rows * panel);
    }
    with_epilogue(
        w.after, [&]<bool... chosen>() {
          finish_tiles<chosen...>(w.d, w.tiles, first, tiles, rows, j * panel, m, w.b, w.after, w.y);
        });
  }
}

float* inputs(const Conv2d& d, int64_t tiles) {
  return static_cast<float*>(scratch(static_cast<std::size_t>(points * tiles * (d.c + apart)) * sizeof(float), 2));
}

}  // namespace

bool winograd_suits(const Conv2d& d) {
  if (!d.winograd) return false;
  if (d.r != 3 || d.s != 3 || d.stride != 1 || d.dilation != 1 || d.groups != 1 || d.pad != 1) return false;
  if (d.c % block || d.k % block || d.c < 2 * block || d.k < 2 * block || d.h < 4 || d.w < 4) return false;
  if (std::max(d.c, d.k) > most_wide) return false;
  return d.c * d.k <= many_weights || (d.winograd_large && Tiles(d).count >= enough_tiles);
}

void winograd(const Conv2d& d, const float* x, WeightName name, const std::function<const void*()>& plain,
              const float* b, const Epilogue& after, float* y) {
  const int64_t panels = (d.k + panel - 1) / panel;
  const dnnl::memory::desc layout({panels, points, d.c, panel}, dnnl::memory::data_type::f32,
                                  dnnl::memory::format_tag::abcd);
  const float* const u = static_cast<const float*>(kept_weights(layout, name, [&](void* to) {
    transform_weights(d.k, d.c, static_cast<const float*>(plain()), static_cast<float*>(to));
  }));
  const Tiles all(d);
  const Work work{d, all, u, b, after, y};
  const int64_t most = chunk_of(d);
  // Few tiles would be few rows for each thread, and each thread would read all weights: then panels are divided.
  if (all.count < most * threads() && panels >= 2 * threads()) {
    float* const v = inputs(d, all.count);
    parallel_for(all.count, 1, [&](int64_t begin, int64_t end) {
      tile::transform_input(d, all, begin, end - begin, all.count, x, v + begin * (d.c + apart));
    });
    parallel_for(panels, 1,
                 [&](int64_t begin, int64_t end) { multiply(work, 0, all.count, all.count, v, begin, end); });
    return;
  }
  parallel_for(all.count, block_rows, [&](int64_t begin, int64_t end) {
    // Pieces of nearly the same length: a short last one would leave rows of the products empty.
    const int64_t pieces = (end - begin + most - 1) / most;
    const int64_t chunk = ((end - begin + pieces - 1) / pieces + block_rows - 1) / block_rows * block_rows;
    float* const v = inputs(d, chunk);
    for (int64_t first = begin; first < end; first += chunk) {
      const int64_t tiles = std::min(chunk, end - first);
      tile::transform_input(d, all, first, tiles, tiles, x, v);
      multiply(work, first, tiles, tiles, v, 0, panels);
    }
  });
}

}  // namespace pen::kernels::cpu
