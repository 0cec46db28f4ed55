// Vectors of the width that this machine multiplies at, and a small matrix product on them.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace pen::kernels::cpu {

// A block of sums that stays in registers: so many rows, so many vectors wide. Four vectors to six rows take ten loads
// for 24 products; two to twelve take 14, and come out 4% slower on Zen 4.
#ifdef __AVX512F__
constexpr std::int64_t lanes = 16, block_rows = 6, block_columns = 4;
#else
constexpr std::int64_t lanes = 8, block_rows = 6, block_columns = 2;
#endif
// Loads and stores through it need no alignment. Functions take pointers to it: by value, its ABI depends on the
// target.
using Vector [[gnu::vector_size(lanes * sizeof(float)), gnu::aligned(4), gnu::may_alias]] = float;

// What lies beyond an image's edge: one pixel, of at most so many channels.
constexpr std::int64_t most_wide = 2048;
alignas(64) inline constexpr float zeros[most_wide] = {};

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

// Memory that will be needed soon: step l of a sum asks the caches for what lies at `at + l * step`. The processor's
// own prefetching does not see beyond the rows that are being read.
struct Ahead {
  const float* at;
  std::int64_t step;
};
struct NothingAhead {};

// sum += a b for `inner` columns of a, whose element (i,l) is a[i][l * a_inner].
template <class Next = NothingAhead, int rows, int columns>
[[gnu::always_inline]] inline void accumulate(std::int64_t inner, const float* const* a, std::int64_t a_inner,
                                              const float* b, std::int64_t b_row, Vector (&sum)[rows][columns],
                                              Next next = {}) {
  const float* left[rows];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) left[i] = a[i];
  for (std::int64_t l = 0; l < inner; ++l) {
    Vector right[columns];
    if constexpr (std::is_same_v<Next, Ahead>) __builtin_prefetch(next.at + l * next.step, 0, 2);
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) right[j] = *reinterpret_cast<const Vector*>(b + l * b_row + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const float one = left[i][l * a_inner];
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) sum[i][j] += one * right[j];
    }
  }
}

// Calls f(sum[i][j], i, j) for each vector of a block, without a loop: sums that are indexed by a variable leave their
// registers.
template <int rows, int columns, class F>
[[gnu::always_inline]] inline void each_of(Vector (&sum)[rows][columns], F f) {
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) f(sum[i][j], i, j);
}

template <int rows, int columns>
void product_block(const SmallProduct& d, const float* a, const float* b, float* c) {
  Vector sum[rows][columns];
  const float* from[rows];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) from[i] = a + i * d.a_row;
  const auto place = [&](int i, int j) { return reinterpret_cast<Vector*>(c + i * d.c_row + j * lanes); };
  if (d.add)
    each_of(sum, [&](Vector& v, int i, int j) { v = *place(i, j); });
  else
    each_of(sum, [](Vector& v, int, int) { v = Vector{}; });
  accumulate(d.inner, from, d.a_inner, b, d.b_row, sum);
  each_of(sum, [&](const Vector& v, int i, int j) { *place(i, j) = v; });
}

template <int rows, int columns>
void product_rows(std::int64_t m, const SmallProduct& d, const float* a, const float* b, float* c) {
  if (m == rows) return product_block<rows, columns>(d, a, b, c);
  if constexpr (rows > 1) product_rows<rows - 1, columns>(m, d, a, b, c);
}

template <int rows, int columns>
void product_columns(std::int64_t n, std::int64_t m, const SmallProduct& d, const float* a, const float* b, float* c) {
  if (n >= columns * lanes) return product_rows<rows, columns>(m, d, a, b, c);
  if constexpr (columns > 1) product_columns<rows, columns - 1>(n, m, d, a, b, c);
}

// In blocks of so many rows and vectors.
template <int rows = block_rows, int columns = block_columns>
void small_product(const SmallProduct& d, const float* a, const float* b, float* c) {
  for (std::int64_t j = 0; j < d.n; j += columns * lanes)
    for (std::int64_t i = 0; i < d.m; i += rows)
      product_columns<rows, columns>(d.n - j, d.m - i < rows ? d.m - i : rows, d, a + i * d.a_row, b + j,
                                     c + i * d.c_row + j);
}

}  // namespace pen::kernels::cpu
