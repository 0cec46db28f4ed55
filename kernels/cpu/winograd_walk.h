// What the convolutions by Winograd's algorithm share: tiles of the output and the transform of what they read.
#pragma once

#include <cstdint>

#include "kernels/cpu/winograd_tile.h"
#include "kernels/types.h"

namespace pen::kernels::cpu::tile {

constexpr std::int64_t block = 16;   // channels come in multiples of it
constexpr std::int64_t points = 36;  // of a tile: 6 x 6 inputs give 4 x 4 outputs
constexpr std::int64_t step = 4;     // from tile to tile
constexpr std::int64_t apart = 16;   // between rows: lengths of powers of two would push each other out of the cache

struct Tiles {
  explicit Tiles(const Conv2d& d)
      : rows((d.p + step - 1) / step), columns((d.q + step - 1) / step), count(d.n * rows * columns) {}
  struct Place {
    std::int64_t n, top, left;  // of the first output
  };
  Place place(std::int64_t t) const {
    return {t / (rows * columns), t % (rows * columns) / columns * step, t % columns * step};
  }
  std::int64_t rows, columns, count;
};

// Where the side x side pixels from (top, left) of an image x (h,w,c) begin; `zeros` for those outside.
template <int side>
void pixels_of(const float* x, std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t top, std::int64_t left,
               const float* (&from)[side * side]) {
  for (std::int64_t i = 0; i < side; ++i)
    for (std::int64_t j = 0; j < side; ++j) {
      const std::int64_t row = top + i, column = left + j;
      const bool inside = row >= 0 && row < h && column >= 0 && column < w;
      from[i * side + j] = inside ? x + (row * w + column) * c : zeros;
    }
}

// v (36,tiles,C + apart) = B^T x B for the tiles from `first`; `of` tiles lie between its points.
inline void transform_input(const Conv2d& d, const Tiles& all, std::int64_t first, std::int64_t tiles, std::int64_t of,
                            const float* x, float* v) {
  const std::int64_t row = d.c + apart;
  for (std::int64_t t = 0; t < tiles; ++t) {
    const auto [n, top, left] = all.place(first + t);
    const float* from[points];
    pixels_of<6>(x + n * d.h * d.w * d.c, d.h, d.w, d.c, top - 1, left - 1, from);
    for (std::int64_t c = 0; c < d.c; c += lanes) {
      Vector in[points], half[points], out[points];
      for (std::int64_t e = 0; e < points; ++e) in[e] = *reinterpret_cast<const Vector*>(from[e] + c);
      for (int j = 0; j < 6; ++j) input(in + j, half + j, 6);
      for (int i = 0; i < 6; ++i) input(half + 6 * i, out + 6 * i, 1);
      for (std::int64_t e = 0; e < points; ++e) *reinterpret_cast<Vector*>(v + (e * of + t) * row + c) = out[e];
    }
  }
}

}  // namespace pen::kernels::cpu::tile
