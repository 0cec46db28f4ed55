// IEEE half (kernels/shared/float16.h): every value, every rounding boundary. (bf16: kernels_meaning_test.)
#include <doctest/doctest.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/types.h"

using namespace pen;

namespace {

std::uint16_t half_bits(float x) { return f16(x).bits; }
// What a half is, by the standard's words.
double half_value(unsigned bits) {
  const int exponent = static_cast<int>(bits >> 10 & 31), mantissa = static_cast<int>(bits & 1023);
  const double sign = bits & 0x8000 ? -1 : 1;
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

}  // namespace

TEST_CASE("fp16: all 65,536 of them are what the standard says, and come back from float as they were") {
  int wrong = 0;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    f16 h;
    h.bits = static_cast<std::uint16_t>(bits);
    const auto x = static_cast<float>(h);
    if ((bits & 0x7c00) != 0x7c00) {
      wrong += static_cast<double>(x) != half_value(bits) || std::signbit(x) != (bits >> 15 != 0);
      wrong += half_bits(x) != bits;
    } else if (bits & 0x3ff) {
      wrong += !std::isnan(x) || (half_bits(x) & 0x7fff) <= 0x7c00;
    } else {
      wrong += !std::isinf(x) || std::signbit(x) != (bits >> 15 != 0) || half_bits(x) != bits;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("fp16: halfway goes to the even neighbour, a float beside it to the nearer one") {
  const float infinity = std::numeric_limits<float>::infinity();
  int wrong = 0;
  for (unsigned bits = 0; bits < 0x7c00; ++bits) {  // the last one's upper neighbour is infinity, where 2^16 would be
    const double upper = bits == 0x7bff ? 65536 : half_value(bits + 1);
    const auto middle = static_cast<float>((half_value(bits) + upper) / 2);
    const std::uint16_t even = static_cast<std::uint16_t>(bits % 2 ? bits + 1 : bits);
    wrong += half_bits(middle) != even;
    wrong += half_bits(std::nextafter(middle, 0.0f)) != bits;
    wrong += half_bits(std::nextafter(middle, infinity)) != bits + 1;
    wrong += half_bits(-middle) != (even | 0x8000);
  }
  CHECK(wrong == 0);
  CHECK(half_bits(65519.996f) == 0x7bff);
  CHECK(half_bits(65520.0f) == 0x7c00);
  CHECK(half_bits(std::numeric_limits<float>::max()) == 0x7c00);
  CHECK(half_bits(-infinity) == 0xfc00);
  CHECK(half_bits(0x1p-25f) == 0);
  CHECK(half_bits(0x1.000002p-25f) == 1);
  CHECK(half_bits(std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(half_bits(-0.0f) == 0x8000);
  CHECK((half_bits(std::numeric_limits<float>::signaling_NaN()) & 0x7fff) > 0x7c00);
}

#if defined(__SSE2__)
TEST_CASE("fp16: its subnormal numbers survive where floats' do not") {
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);  // flush to zero, denormals are zero
  int wrong = 0;
  for (unsigned bits = 1; bits < 0x400; ++bits) {
    f16 h;
    h.bits = static_cast<std::uint16_t>(bits);
    const auto x = static_cast<float>(h);
    wrong += static_cast<double>(x) != std::ldexp(bits, -24);
    wrong += half_bits(x) != bits;
  }
  _mm_setcsr(before);
  CHECK(wrong == 0);
}
#endif
