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

// Filters of 3x3 for an output channel k and an input channel c, wherever they lie.
struct Filters {
  const float* w;
  int64_t between_k, between_c;
  bool turned;  // by half a turn
  const float* at(int64_t k, int64_t c) const { return w + k * between_k + c * between_c; }
};

// u (K / panel,36,C,panel) = G w G^T for w (K,C,3,3), the last panel filled up with zeros. A panel at a time: the 36
// values of a filter go to places that are C panels apart, so whatever lies side by side is written together.
void transform_weights(int64_t k, int64_t c, const Filters& w, float* u) {
  const int64_t blocks = c / block;
  if (k % panel) std::fill_n(u + k / panel * points * c * panel, points * c * panel, 0.0f);
  parallel_for((k + panel - 1) / panel * blocks, 1, [=](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t k0 = t / blocks * panel, c0 = t % blocks * block, wide = std::min(k - k0, panel);
      float across[block * 9][panel];
      for (int64_t i = 0; i < wide; ++i)
        for (int64_t j = 0; j < block; ++j)
          for (int64_t e = 0; e < 9; ++e) across[j * 9 + e][i] = w.at(k0 + i, c0 + j)[w.turned ? 8 - e : e];
      for (int64_t j = 0; j < block; ++j)
        for (int64_t i = 0; i < wide; i += lanes) {
          Vector filter[9], half[6 * 3], whole[points];
          for (int e = 0; e < 9; ++e) filter[e] = *reinterpret_cast<const Vector*>(across[j * 9 + e] + i);
          for (int s = 0; s < 3; ++s) tile::filter(filter + s, 3, half + s, 3);
          for (int r = 0; r < 6; ++r) tile::filter(half + 3 * r, 1, whole + 6 * r, 1);
          float* const to = u + k0 * points * c + (c0 + j) * panel + i;
          for (int64_t e = 0; e < points; ++e) *reinterpret_cast<Vector*>(to + e * c * panel) = whole[e];
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

// The tiles of a map, of four kinds: those at its lower and right edge have fewer rows, columns or both where four does
// not divide its sides, and take fewer products.
class Cut {
 public:
  explicit Cut(const Conv2d& d) : tiles(d), rows_{4, last_of(d.p)}, columns_{4, last_of(d.q)}, d_(d) {}
  static constexpr int kinds = 4;  // bit 1: the last row of tiles, if it has fewer rows; bit 0: the last column
  int kind(const Tiles::Place& at) const {
    return 2 * static_cast<int>(at.top + step > d_.p) + static_cast<int>(at.left + step > d_.q);
  }
  // Calls f<rows, columns>() with a kind's outputs.
  template <class F>
  void with(int kind, F f) const {
    const auto row = [&]<int rows>() {
      const int columns = columns_[kind & 1];
      columns == 4   ? f.template operator()<rows, 4>()
      : columns == 3 ? f.template operator()<rows, 3>()
                     : f.template operator()<rows, 2>();
    };
    const int rows = rows_[kind >> 1];
    rows == 4 ? row.template operator()<4>() : rows == 3 ? row.template operator()<3>() : row.template operator()<2>();
  }
  // Whether tiles of this kind have the point.
  bool uses(int kind, int64_t point) const {
    const auto has = [](int outputs, int64_t p) { return p == 5 || p < outputs + 1; };
    return has(rows_[kind >> 1], point / 6) && has(columns_[kind & 1], point % 6);
  }
  const Tiles tiles;

 private:
  static int last_of(int64_t side) { return side % 4 == 0 ? 4 : side % 4 == 3 ? 3 : 2; }
  int rows_[2], columns_[2];
  const Conv2d& d_;
};

// Tiles [first, first + count), those of a kind one behind the other: where each kind begins.
struct Sorted {
  Sorted(const Cut& cut, int64_t first_tile, int64_t tiles) : first(first_tile), count(tiles) {
    for (int64_t t = first; t < first + count; ++t) ++begin[cut.kind(cut.tiles.place(t)) + 1];
    for (int k = 0; k < Cut::kinds; ++k) begin[k + 1] += begin[k];
  }
  // Calls f(place, kind, slot) for the tiles [from, to) of all.
  template <class F>
  void each(const Cut& cut, int64_t from, int64_t to, F f) const {
    int64_t next[Cut::kinds];
    std::copy(begin, begin + Cut::kinds, next);
    for (int64_t t = first; t < to; ++t) {
      const Tiles::Place at = cut.tiles.place(t);
      const int kind = cut.kind(at);
      const int64_t slot = next[kind]++;
      if (t >= from) f(at, kind, slot);
    }
  }
  int64_t first, count;
  int64_t begin[Cut::kinds + 1] = {};
};

// v (36,count,C + apart): those of the tiles [from, to)
void transform_inputs(const Conv2d& d, const Cut& cut, const Sorted& sorted, int64_t from, int64_t to, const float* x,
                      float* v) {
  const int64_t row = d.c + apart;
  sorted.each(cut, from, to, [&](const Tiles::Place& at, int kind, int64_t slot) {
    cut.with(kind, [&]<int rows, int columns>() {
      tile::transform_tile<rows, columns>(d, x + at.n * d.h * d.w * d.c, at.top, at.left, sorted.count * row,
                                          v + slot * row);
    });
  });
}

// out (rows of 4) = A^T m A for one tile and vector, whose points are `between` floats apart.
template <int rows, int columns>
void outputs_of(const float* m, int64_t between, Vector* out) {
  constexpr int high = rows + 2, wide = columns + 2;
  Vector in[high * wide], half[rows * wide];
  for (int i = 0; i < high; ++i)
    for (int j = 0; j < wide; ++j)
      in[wide * i + j] =
          *reinterpret_cast<const Vector*>(m + (6 * tile::place<rows>(i) + tile::place<columns>(j)) * between);
  for (int j = 0; j < wide; ++j) tile::output_of<rows>(in + j, wide, half + j, wide);
  for (int i = 0; i < rows; ++i) tile::output_of<columns>(half + wide * i, 1, out + 4 * i, 1);
}

// y = epilogue(A^T m A + b) for the channels [k0, k0 + panel), m (36,of,panel)
template <bool... chosen>
void finish_tiles(const Conv2d& d, const Cut& cut, const Sorted& sorted, int64_t of, int64_t k0, const float* m,
                  const float* b, const Epilogue& e, float* y) {
  sorted.each(cut, sorted.first, sorted.first + sorted.count, [&](const Tiles::Place& at, int kind, int64_t slot) {
    const int64_t rows = std::min(step, d.p - at.top), columns = std::min(step, d.q - at.left);
    for (int64_t i = 0; i < rows; ++i)  // where the processor's own prefetching does not expect them
      for (int64_t j = 0; j < columns; ++j)
        for (int64_t k = k0; k < std::min(k0 + panel, d.k); k += lanes)
          __builtin_prefetch(y + ((at.n * d.p + at.top + i) * d.q + at.left + j) * d.k + k, 1);
    for (int64_t k = k0; k < std::min(k0 + panel, d.k); k += lanes) {
      Vector out[4 * 4];
      cut.with(kind, [&]<int high, int wide>() { outputs_of<high, wide>(m + slot * panel + k - k0, of * panel, out); });
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) {
          if (b) out[4 * i + j] += *reinterpret_cast<const Vector*>(b + k);
          store<chosen...>(e, out + 4 * i + j, ((at.n * d.p + at.top + i) * d.q + at.left + j) * d.k + k, y);
        }
    }
  });
}

// Tiles at a time: both transforms of them stay in the second cache, beside a panel.
int64_t chunk_of(const Conv2d& d) {
  const int64_t fit = (int64_t{512} << 10) / (points * (d.c + panel + apart) * static_cast<int64_t>(sizeof(float)));
  return std::max<int64_t>(fit / block_rows, 4) * block_rows;
}

struct Work {
  const Conv2d& d;
  const Cut& cut;
  const float *u, *b;
  const Epilogue& after;
  float* y;
};

// Panels [begin, end) of the tiles whose transforms are v (36,count,C + apart).
void multiply(const Work& w, const Sorted& sorted, const float* v, int64_t begin, int64_t end) {
  // Whole blocks are written: the last one of a kind beyond its end.
  const int64_t c = w.d.c, v_row = c + apart, of = sorted.count + block_rows;
  auto* const m = static_cast<float*>(scratch(static_cast<std::size_t>(points * of * panel) * sizeof(float), 3));
  for (int64_t j = begin; j < end; ++j) {
    for (int64_t e = 0; e < points; ++e) {
      const float* const u = w.u + (j * points + e) * c * panel;
      const float* const next = j + 1 == end && e + 1 == points ? u : u + c * panel;
      for (int kind = 0; kind < Cut::kinds; ++kind) {
        if (!w.cut.uses(kind, e)) continue;
        const int64_t first = sorted.begin[kind];
        while (kind + 1 < Cut::kinds && w.cut.uses(kind + 1, e)) ++kind;  // neighbours go together
        multiply_panel(sorted.begin[kind + 1] - first, c, v + (e * sorted.count + first) * v_row, u, next,
                       m + (e * of + first) * panel);
      }
    }
    with_epilogue(
        w.after, [&]<bool... chosen>() {
          finish_tiles<chosen...>(w.d, w.cut, sorted, of, j * panel, m, w.b, w.after, w.y);
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
              bool transposed, const float* b, const Epilogue& after, float* y) {
  const int64_t panels = (d.k + panel - 1) / panel;
  const dnnl::memory::desc layout({panels, points, d.c, panel}, dnnl::memory::data_type::f32,
                                  dnnl::memory::format_tag::abcd);
  const float* const u = static_cast<const float*>(kept_weights(layout, name, [&](void* to) {
    const auto* const w = static_cast<const float*>(plain());
    const Filters filters = transposed ? Filters{w, 9, 9 * d.k, true} : Filters{w, 9 * d.c, 9, false};
    transform_weights(d.k, d.c, filters, static_cast<float*>(to));
  }));
  const Cut cut(d);
  const Work work{d, cut, u, b, after, y};
  const int64_t all = cut.tiles.count, most = chunk_of(d);
  // Few tiles would be few rows for each thread, and each thread would read all weights: then panels are divided.
  if (all < most * threads() && panels >= 2 * threads()) {
    float* const v = inputs(d, all);
    const Sorted sorted(cut, 0, all);
    parallel_for(all, 1, [&](int64_t begin, int64_t end) { transform_inputs(d, cut, sorted, begin, end, x, v); });
    parallel_for(panels, 1, [&](int64_t begin, int64_t end) { multiply(work, sorted, v, begin, end); });
    return;
  }
  parallel_for(all, block_rows, [&](int64_t begin, int64_t end) {
    // Pieces of nearly the same length: a short last one would leave rows of the products empty.
    const int64_t pieces = (end - begin + most - 1) / most;
    const int64_t chunk = ((end - begin + pieces - 1) / pieces + block_rows - 1) / block_rows * block_rows;
    float* const v = inputs(d, chunk);
    for (int64_t first = begin; first < end; first += chunk) {
      const Sorted sorted(cut, first, std::min(chunk, end - first));
      transform_inputs(d, cut, sorted, first, first + sorted.count, x, v);
      multiply(work, sorted, v, 0, panels);
    }
  });
}

}  // namespace pen::kernels::cpu
