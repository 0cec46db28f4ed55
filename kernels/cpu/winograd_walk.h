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

// Where the rows x columns pixels from (top, left) of an image x (h,w,c) begin; `zeros` for those outside.
template <int rows, int columns>
void pixels_of(const float* x, std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t top, std::int64_t left,
               const float* (&from)[rows * columns]) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      const std::int64_t row = top + i, column = left + j;
      const bool inside = row >= 0 && row < h && column >= 0 && column < w;
      from[i * columns + j] = inside ? x + (row * w + column) * c : zeros;
    }
}

// v = B^T x B for a tile of rows x columns outputs at (top, left) of an image x: each of its points `between` floats
// behind the one before, those that it does not use left as they are.
template <int rows, int columns>
void transform_tile(const Conv2d& d, const float* x, std::int64_t top, std::int64_t left, std::int64_t between,
                    float* v) {
  constexpr int high = rows + 2, wide = columns + 2;
  const float* from[high * wide];
  pixels_of<high, wide>(x, d.h, d.w, d.c, top - 1, left - 1, from);
  for (std::int64_t c = 0; c < d.c; c += lanes) {
    Vector in[high * wide], half[high * wide], out[high * wide];
    for (int e = 0; e < high * wide; ++e) {
      in[e] = *reinterpret_cast<const Vector*>(from[e] + c);
      if (e % wide >= 2) __builtin_prefetch(from[e] + c + step * d.c);  // the next tile's
    }
    for (int j = 0; j < wide; ++j) input_of<rows>(in + j, half + j, wide);
    for (int i = 0; i < high; ++i) input_of<columns>(half + wide * i, out + wide * i, 1);
    for (int i = 0; i < high; ++i)
      for (int j = 0; j < wide; ++j)
        *reinterpret_cast<Vector*>(v + (6 * place<rows>(i) + place<columns>(j)) * between + c) = out[wide * i + j];
  }
}

// v (36,tiles,C + apart) for the tiles from `first`, all of 4 x 4 outputs; `of` tiles lie between its points.
inline void transform_input(const Conv2d& d, const Tiles& all, std::int64_t first, std::int64_t tiles, std::int64_t of,
                            const float* x, float* v) {
  const std::int64_t row = d.c + apart;
  for (std::int64_t t = 0; t < tiles; ++t) {
    const auto [n, top, left] = all.place(first + t);
    transform_tile<4, 4>(d, x + n * d.h * d.w * d.c, top, left, of * row, v + t * row);
  }
}

}  // namespace pen::kernels::cpu::tile
