// The 16-bit formats that numbers are kept in; sums are made in float. One conversion for all devices: to the nearest,
// ties to even, past the largest to infinity, a NaN stays one (another one on a GPU, whose instructions do the same).
// (The builtin casts bits on a GPU too, which std::bit_cast does not.)
#pragma once

#include <cstdint>

#include "base/rng.h"

namespace pen {

// The upper half of a float: its range with 8 bits of mantissa.
struct bf16 {
  std::uint16_t bits;
  bf16() = default;
  PEN_HD bf16(float x) {
#ifdef __CUDA_ARCH__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#else
    const auto b = __builtin_bit_cast(std::uint32_t, x);
    bits = static_cast<std::uint16_t>(x != x ? (b >> 16) | 0x40 : (b + 0x7fff + (b >> 16 & 1)) >> 16);
#endif
  }
  PEN_HD operator float() const { return __builtin_bit_cast(float, std::uint32_t{bits} << 16); }
};
static_assert(sizeof(bf16) == 2);

// IEEE 754 half: 11 bits of mantissa, up to 65504, in steps of 2^-24 below 2^-14. No float on the way is subnormal: the
// bits are the same where a processor flushes those to zero.
struct f16 {
  std::uint16_t bits;
  f16() = default;
  PEN_HD f16(float x) {
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#else
    const auto b = __builtin_bit_cast(std::uint32_t, x);
    const std::uint32_t sign = b >> 16 & 0x8000, a = b & 0x7fffffff;
    std::uint32_t h;
    if (a > 0x7f800000)
      h = 0x7e00 | (a >> 13 & 0x3ff);
    else if (a >= 0x47800000)  // 2^16
      h = 0x7c00;
    else if (a < 0x38800000)  // 2^-14; floats from 0.5 to 1 have the steps that are wanted, and the addition rounds
      h = __builtin_bit_cast(std::uint32_t, __builtin_bit_cast(float, a) + 0.5f) - 0x3f000000;
    else  // the exponent counts from 15, not 127; the rounding may carry into it, up to infinity
      h = (a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13;
    bits = static_cast<std::uint16_t>(sign | h);
#endif
  }
  PEN_HD operator float() const {
#ifdef __CUDA_ARCH__
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
#else
    const std::uint32_t sign = (bits & 0x8000u) << 16, exponent = bits & 0x7c00;
    std::uint32_t a = (bits & 0x7fffu) << 13;
    if (exponent == 0x7c00)
      a += 0x70000000;
    else if (exponent == 0)  // 2^-14 (1 + m / 1024) - 2^-14
      a = __builtin_bit_cast(std::uint32_t, __builtin_bit_cast(float, 0x38800000 | a) - 0x1p-14f);
    else
      a += 0x38000000;
    return __builtin_bit_cast(float, sign | a);
#endif
  }
};
static_assert(sizeof(f16) == 2);

}  // namespace pen
