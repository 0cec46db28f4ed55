// Gradients of weights by Winograd's algorithm: dw = G^T (sum over tiles of (A dy A^T)(B^T x B)) G, the transpose of
// the convolution's own (Lavin, Gray 2016). A quarter of the multiplications again.
#include <algorithm>

#include "base/parallel.h"
#include "kernels/cpu/conv_winograd.h"
#include "kernels/cpu/winograd_walk.h"

namespace pen::kernels::cpu {
namespace {

using std::int64_t;
using tile::apart;
using tile::block;
using tile::points;
using tile::Tiles;

// A block of the products: rows are read across, a few floats from each line, so that many at a time pay.
constexpr int rows = 2 * block_rows, columns = block_columns / 2;
constexpr int64_t piece = columns * lanes;  // of output channels: what one task of the products takes
// Transformed inputs and gradients of so many bytes are made, then read by all products before the next.
constexpr int64_t chunk_bytes = int64_t{3} << 20, most_tiles = 96;

// z (36,of,K + apart) = A dy A^T for the tiles from `first`
void transform_gradient(const Conv2d& d, const Tiles& all, int64_t first, int64_t tiles, int64_t of, const float* dy,
                        float* z) {
  const int64_t row = d.k + apart;
  for (int64_t t = 0; t < tiles; ++t) {
    const auto [n, top, left] = all.place(first + t);
    const float* from[16];
    tile::pixels_of<4, 4>(dy + n * d.p * d.q * d.k, d.p, d.q, d.k, top, left, from);
    for (int64_t k = 0; k < d.k; k += lanes) {
      Vector in[16], half[6 * 4], out[points];
      for (int64_t e = 0; e < 16; ++e) in[e] = *reinterpret_cast<const Vector*>(from[e] + k);
      for (int j = 0; j < 4; ++j) tile::output_back(in + j, 4, half + j, 4);
      for (int i = 0; i < 6; ++i) tile::output_back(half + 4 * i, 1, out + 6 * i, 1);
      for (int64_t e = 0; e < points; ++e) *reinterpret_cast<Vector*>(z + (e * of + t) * row + k) = out[e];
    }
  }
}

// dw (K,C,3,3) = G^T m G, m (36,C,K + apart)
void to_weights(int64_t k, int64_t c, const float* m, Accum accum, float* dw) {
  const int64_t row = k + apart, blocks = c / block;
  parallel_for(k / lanes * blocks, 4, [=](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t k0 = t / blocks * lanes, c0 = t % blocks * block;
      float turned[block * 9][lanes];
      for (int64_t j = 0; j < block; ++j) {
        Vector whole[points], half[6 * 3];
        for (int64_t e = 0; e < points; ++e)
          whole[e] = *reinterpret_cast<const Vector*>(m + (e * c + c0 + j) * row + k0);
        auto* const g = reinterpret_cast<Vector*>(turned[j * 9]);
        for (int i = 0; i < 6; ++i) tile::filter_back(whole + 6 * i, 1, half + 3 * i, 1);
        for (int s = 0; s < 3; ++s) tile::filter_back(half + s, 3, g + s, 3);
      }
      for (int64_t i = 0; i < lanes; ++i) {
        float* const to = dw + ((k0 + i) * c + c0) * 9;
        if (accum == Accum::add)
          for (int64_t e = 0; e < block * 9; ++e) to[e] += turned[e][i];
        else
          for (int64_t e = 0; e < block * 9; ++e) to[e] = turned[e][i];
      }
    }
  });
}

}  // namespace

void winograd_weight_gradient(const Conv2d& d, const float* x, const float* dy, Accum accum, float* dw) {
  const Tiles all(d);
  const int64_t v_row = d.c + apart, z_row = d.k + apart, m_row = d.k + apart;
  const int64_t fit = chunk_bytes / (points * (v_row + z_row) * static_cast<int64_t>(sizeof(float)));
  const int64_t most = std::clamp<int64_t>(fit, 2 * rows, most_tiles);
  const int64_t chunks = (all.count + most - 1) / most, chunk = (all.count + chunks - 1) / chunks;
  const auto floats = [](int64_t n, int slot) {
    return static_cast<float*>(scratch(static_cast<std::size_t>(n) * sizeof(float), slot));
  };
  float* const v = floats(points * chunk * v_row, 1);
  float* const z = floats(points * chunk * z_row, 2);
  float* const m = floats(points * d.c * m_row, 3);
  for (int64_t first = 0; first < all.count; first += chunk) {
    const int64_t tiles = std::min(chunk, all.count - first);
    parallel_for(tiles, 4, [&](int64_t begin, int64_t end) {
      tile::transform_input(d, all, first + begin, end - begin, tiles, x, v + begin * v_row);
      transform_gradient(d, all, first + begin, end - begin, tiles, dy, z + begin * z_row);
    });
    const int64_t pieces = (d.k + piece - 1) / piece;
    parallel_for(points * pieces, 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t e = t / pieces, k = t % pieces * piece;
        small_product<rows, columns>({.m = d.c,
                                      .n = std::min(piece, d.k - k),
                                      .inner = tiles,
                                      .a_row = 1,
                                      .a_inner = v_row,
                                      .b_row = z_row,
                                      .c_row = m_row,
                                      .add = first > 0},
                                     v + e * tiles * v_row, z + e * tiles * z_row + k, m + e * d.c * m_row + k);
      }
    });
  }
  to_weights(d.k, d.c, m, accum, dw);
}

}  // namespace pen::kernels::cpu
