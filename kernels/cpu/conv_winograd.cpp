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

// Transformed weights are four times as large. Those of ResNet-50's last stage would be 38 MB for each layer and
// direction, a fifth of the memory of a FIX step, for a few hundredths of its time.
constexpr int64_t most_weights = 256 * 256;

// u (36,C,K + apart) = G w G^T for w (K,C,3,3)
void transform_weights(int64_t k, int64_t c, const float* w, float* u) {
  const int64_t row = k + apart, blocks = c / block;
  parallel_for(k / lanes * blocks, 4, [=](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t k0 = t / blocks * lanes, c0 = t % blocks * block;
      float turned[block * 9][lanes];
      for (int64_t i = 0; i < lanes; ++i)
        for (int64_t e = 0; e < block * 9; ++e) turned[e][i] = w[((k0 + i) * c + c0) * 9 + e];
      for (int64_t j = 0; j < block; ++j) {
        Vector half[6 * 3], whole[points];
        const auto* const g = reinterpret_cast<const Vector*>(turned[j * 9]);
        for (int s = 0; s < 3; ++s) tile::filter(g + s, 3, half + s, 3);
        for (int r = 0; r < 6; ++r) tile::filter(half + 3 * r, 1, whole + 6 * r, 1);
        for (int64_t e = 0; e < points; ++e) *reinterpret_cast<Vector*>(u + (e * c + c0 + j) * row + k0) = whole[e];
      }
    }
  });
}

// y = epilogue(A^T m A + b), m (36,tiles,K + apart)
template <bool... chosen>
void finish_tiles(const Conv2d& d, const Tiles& all, int64_t first, int64_t tiles, const float* m, const float* b,
                  const Epilogue& e, float* y) {
  const int64_t row = d.k + apart;
  for (int64_t t = 0; t < tiles; ++t) {
    const auto [n, top, left] = all.place(first + t);
    const int64_t rows = std::min(step, d.p - top), columns = std::min(step, d.q - left);
    for (int64_t k = 0; k < d.k; k += lanes) {
      Vector in[points], half[4 * 6], out[4 * 4];
      for (int64_t i = 0; i < points; ++i) in[i] = *reinterpret_cast<const Vector*>(m + (i * tiles + t) * row + k);
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

// Tiles at a time: both transforms of them stay in the second cache, or nearly.
int64_t chunk_of(const Conv2d& d) {
  const int64_t fit = (int64_t{3} << 19) / (points * (d.c + d.k + 2 * apart) * static_cast<int64_t>(sizeof(float)));
  return std::max<int64_t>(fit / block_rows, 24 / block_rows) * block_rows;
}

}  // namespace

bool winograd_suits(const Conv2d& d) {
  if (!d.winograd) return false;
  if (d.r != 3 || d.s != 3 || d.stride != 1 || d.dilation != 1 || d.groups != 1 || d.pad != 1) return false;
  if (d.c % block || d.k % block || d.c < 2 * block || d.k < 2 * block || d.h < 4 || d.w < 4) return false;
  return d.c * d.k <= most_weights && std::max(d.c, d.k) <= most_wide;
}

void winograd(const Conv2d& d, const float* x, WeightName name, const std::function<const void*()>& plain,
              const float* b, const Epilogue& after, float* y) {
  const dnnl::memory::desc layout({points, d.c, d.k + apart}, dnnl::memory::data_type::f32,
                                  dnnl::memory::format_tag::abc);
  const float* const u = static_cast<const float*>(kept_weights(layout, name, [&](void* to) {
    transform_weights(d.k, d.c, static_cast<const float*>(plain()), static_cast<float*>(to));
  }));
  const Tiles all(d);
  const int64_t most = chunk_of(d), v_row = d.c + apart, m_row = d.k + apart;
  parallel_for(all.count, block_rows, [&](int64_t begin, int64_t end) {
    // Pieces of nearly the same length: a short last one would leave rows of the products empty.
    const int64_t pieces = (end - begin + most - 1) / most;
    const int64_t chunk = (((end - begin + pieces - 1) / pieces) + block_rows - 1) / block_rows * block_rows;
    auto* const v = static_cast<float*>(scratch(static_cast<std::size_t>(points * chunk * v_row) * sizeof(float), 2));
    auto* const m = static_cast<float*>(scratch(static_cast<std::size_t>(points * chunk * m_row) * sizeof(float), 3));
    for (int64_t first = begin; first < end; first += chunk) {
      const int64_t tiles = std::min(chunk, end - first);
      tile::transform_input(d, all, first, tiles, tiles, x, v);
      for (int64_t e = 0; e < points; ++e)
        small_product(
            {.m = tiles, .n = d.k, .inner = d.c, .a_row = v_row, .a_inner = 1, .b_row = m_row, .c_row = m_row},
            v + e * tiles * v_row, u + e * d.c * m_row, m + e * tiles * m_row);
      with_epilogue(
          after, [&]<bool... chosen>() { finish_tiles<chosen...>(d, all, first, tiles, m, b, after, y); });
    }
  });
}

}  // namespace pen::kernels::cpu
