#include "kernels/cpu/bits.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "base/parallel.h"
#include "kernels/cpu/dnnl_common.h"
#include "kernels/kernels.h"
#include "kernels/shared/math.inl"

namespace pen::kernels::cpu {
namespace {

static_assert(std::endian::native == std::endian::little, "a byte of bits is turned into eight bytes in memory order");

constexpr std::int64_t grain = 4096;  // bytes of bits that are worth waking a thread for

// The eight bytes, 0 or 1, of each byte of bits.
constexpr std::array<std::uint64_t, 256> spread_table = [] {
  std::array<std::uint64_t, 256> table{};
  for (std::uint64_t byte = 0; byte < 256; ++byte)
    for (std::uint64_t i = 0; i < 8; ++i) table[byte] |= (byte >> i & 1) << (8 * i);
  return table;
}();

// The bits of up to eight elements.
template <class T>
unsigned positive_byte(const T* y, std::int64_t count) {
  unsigned byte = 0;
  for (std::int64_t i = 0; i < count; ++i) byte |= static_cast<unsigned>(y[i] > wide_t<T>(0)) << i;
  return byte;
}

#if defined(__AVX512F__)
// Sixteen at a time.
__mmask16 positive_sixteen(const float* y) {
  return _mm512_cmp_ps_mask(_mm512_loadu_ps(y), _mm512_setzero_ps(), _CMP_GT_OQ);
}
__mmask16 positive_sixteen(const bf16* y) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(y));
  const __m512i wide = _mm512_maskz_slli_epi32(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, halves), 16);
  return _mm512_cmp_ps_mask(_mm512_castsi512_ps(wide), _mm512_setzero_ps(), _CMP_GT_OQ);
}

void gate_sixteen(__mmask16 open, float keep, const float* from, float* to) {
  if (keep == 0) return _mm512_storeu_ps(to, _mm512_maskz_loadu_ps(open, from));
  const __m512 v = _mm512_loadu_ps(from);
  _mm512_storeu_ps(to, _mm512_mask_blend_ps(open, _mm512_mul_ps(v, _mm512_set1_ps(keep)), v));
}
// Rounded as bf16's constructor does.
void gate_sixteen(__mmask16 open, float keep, const bf16* from, bf16* to) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  const __m512i v = _mm512_maskz_cvtepu16_epi32(0xffff, halves);
  __m512i closed = _mm512_setzero_si512();
  if (keep != 0) {
    const __m512 x = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, v, 16)), _mm512_set1_ps(keep));
    const __m512i bits = _mm512_castps_si512(x), upper = _mm512_maskz_srli_epi32(0xffff, bits, 16);
    const __m512i even = _mm512_add_epi32(_mm512_set1_epi32(0x7fff), _mm512_and_si512(upper, _mm512_set1_epi32(1)));
    closed = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q),
                                     _mm512_maskz_srli_epi32(0xffff, _mm512_add_epi32(bits, even), 16),
                                     _mm512_or_si512(upper, _mm512_set1_epi32(0x40)));
  }
  const __m512i result = _mm512_mask_blend_epi32(open, closed, v);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_maskz_cvtepi32_epi16(0xffff, result));
}
#endif

}  // namespace

template <class T>
void pack_positive(std::int64_t n, const T* y, std::uint8_t* bits) {
  parallel_for(bit_bytes(n), grain, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t j = begin;
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, bf16>)
      for (; j + 2 <= std::min(end, n / 8); j += 2) {
        const std::uint16_t two = positive_sixteen(y + 8 * j);
        std::memcpy(bits + j, &two, sizeof two);
      }
#endif
    for (; j < end; ++j)
      bits[j] = static_cast<std::uint8_t>(positive_byte(y + 8 * j, std::min<std::int64_t>(8, n - 8 * j)));
  });
}

const std::uint8_t* bytes_of_bits(std::int64_t n, const std::uint8_t* bits) {
  const std::int64_t count = bit_bytes(n);
  auto* bytes = static_cast<std::uint8_t*>(scratch(static_cast<std::size_t>(8 * count), 2));
  parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j) std::memcpy(bytes + 8 * j, &spread_table[bits[j]], 8);
  });
  return bytes;
}

template <class T>
void gate_bits(std::int64_t n, double slope, const std::uint8_t* bits, const T* from, T* to) {
  const auto keep = static_cast<wide_t<T>>(slope);
  const auto one = [=](std::int64_t i, unsigned open) {
    to[i] = static_cast<T>(shared::gated<wide_t<T>>(from[i], open, keep));
  };
  parallel_for(bit_bytes(n), grain, [=](std::int64_t begin, std::int64_t end) {
    std::int64_t j = begin;
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, bf16>)
      for (; j + 2 <= std::min(end, n / 8); j += 2) {
        __mmask16 two;
        std::memcpy(&two, bits + j, sizeof two);
        gate_sixteen(two, keep, from + 8 * j, to + 8 * j);
      }
#endif
    for (; j < std::min(end, n / 8); ++j) {
      const unsigned byte = bits[j];
      for (int i = 0; i < 8; ++i) one(8 * j + i, byte >> i & 1);
    }
    for (std::int64_t i = 8 * j; i < std::min(8 * end, n); ++i) one(i, bits[j] >> i % 8 & 1);
  });
}

#define PEN_DEFINE(T)                                                                                     \
  template void pack_positive<T>(std::int64_t, const T*, std::uint8_t*);                                  \
  void mark_positive(const Context&, std::int64_t n, const T* y, std::uint8_t* positive) {                \
    pack_positive(n, y, positive);                                                                        \
  }                                                                                                       \
  template void gate_bits<T>(std::int64_t, double, const std::uint8_t*, const T*, T*);                    \
  void gate(const Context&, std::int64_t n, double slope, const T* dy, const std::uint8_t* open, T* dx) { \
    gate_bits(n, slope, open, dy, dx);                                                                    \
  }
PEN_DEFINE(float)
PEN_DEFINE(double)
PEN_DEFINE(bf16)
PEN_DEFINE(f16)
#undef PEN_DEFINE

}  // namespace pen::kernels::cpu
