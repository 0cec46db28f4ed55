// Vectors of the width that this machine multiplies at, and a small matrix product on them.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace pen::kernels::cpu {

#ifdef __AVX512F__
constexpr std::int64_t lanes = 16, block_rows = 12;
#else
constexpr std::int64_t lanes = 8, block_rows = 6;
#endif
// Loads and stores through it need no alignment. Functions take pointers to it: by value, its ABI depends on the
// target.
using Vector [[gnu::vector_size(lanes * sizeof(float)), gnu::aligned(4), gnu::may_alias]] = float;

static_assert(lanes % 8 == 0, "the bits of a vector are whole bytes");

// A bit for each lane, the first lane's the lowest: 1 where v > 0; and v where its bit is 1, else 0.
#if defined(__AVX512F__)
inline std::uint16_t positive_lanes(const Vector* v) {
  return _mm512_cmp_ps_mask(_mm512_loadu_ps(v), _mm512_setzero_ps(), _CMP_GT_OQ);
}
inline void keep_lanes(std::uint16_t open, Vector* v) { _mm512_storeu_ps(v, _mm512_maskz_loadu_ps(open, v)); }
#else
inline std::uint8_t positive_lanes(const Vector* v) {
#if defined(__AVX__)
  return static_cast<std::uint8_t>(_mm256_movemask_ps(
      _mm256_cmp_ps(_mm256_loadu_ps(reinterpret_cast<const float*>(v)), _mm256_setzero_ps(), _CMP_GT_OQ)));
#else
  unsigned bits = 0;
  for (int i = 0; i < lanes; ++i) bits |= static_cast<unsigned>((*v)[i] > 0) << i;
  return static_cast<std::uint8_t>(bits);
#endif
}
inline void keep_lanes(std::uint8_t open, Vector* v) {
  for (int i = 0; i < lanes; ++i) (*v)[i] = open >> i & 1 ? (*v)[i] : 0;
}
#endif
using LaneBits = decltype(positive_lanes(nullptr));

// c (m,n) = a b, or c += a b. Element (i,l) of a is a[i * a_row + l * a_inner], row l of b begins at b + l * b_row, row
// i of c at c + i * c_row; n is a multiple of `lanes`. Each element's products are added in the order of l, whatever m
// and n.
struct SmallProduct {
  std::int64_t m, n, inner;
  std::int64_t a_row, a_inner, b_row, c_row;
  bool add = false;
};

template <int rows, int columns>
void product_block(const SmallProduct& d, const float* a, const float* b, float* c) {
  Vector sum[rows][columns];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < columns; ++j) {
      if (d.add)
        sum[i][j] = *reinterpret_cast<const Vector*>(c + i * d.c_row + j * lanes);
      else
        sum[i][j] = Vector{};
    }
  for (std::int64_t l = 0; l < d.inner; ++l) {
    Vector right[columns];
#pragma GCC unroll 2
    for (int j = 0; j < columns; ++j) right[j] = *reinterpret_cast<const Vector*>(b + l * d.b_row + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const float left = a[i * d.a_row + l * d.a_inner];
#pragma GCC unroll 2
      for (int j = 0; j < columns; ++j) sum[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < columns; ++j) *reinterpret_cast<Vector*>(c + i * d.c_row + j * lanes) = sum[i][j];
}

template <int rows, int columns>
void product_rows(std::int64_t m, const SmallProduct& d, const float* a, const float* b, float* c) {
  if (m == rows) return product_block<rows, columns>(d, a, b, c);
  if constexpr (rows > 1) product_rows<rows - 1, columns>(m, d, a, b, c);
}

inline void small_product(const SmallProduct& d, const float* a, const float* b, float* c) {
  constexpr std::int64_t wide = 2 * lanes;
  for (std::int64_t j = 0; j < d.n; j += wide)
    for (std::int64_t i = 0; i < d.m; i += block_rows) {
      const std::int64_t m = d.m - i < block_rows ? d.m - i : block_rows;
      const float* const left = a + i * d.a_row;
      float* const to = c + i * d.c_row + j;
      if (d.n - j >= wide)
        product_rows<block_rows, 2>(m, d, left, b + j, to);
      else
        product_rows<block_rows, 1>(m, d, left, b + j, to);
    }
}

}  // namespace pen::kernels::cpu
