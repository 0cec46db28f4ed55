#include "data/normalize.h"

#include <bit>
#include <vector>

#include "base/pixel_math.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pen {
namespace {

#if defined(__x86_64__)

bool have_vectors() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

// a / b correctly rounded from r = 1 / b rounded: the quotient's remainder is exact in a fused multiplication, and one
// step of correction with it rounds as a division does (Markstein 1990, but for rare divisors: Normalizer::set compares
// all that can occur).
__attribute__((target("avx2,fma"))) inline __m256 divided(__m256 a, __m256 b, __m256 r) {
  const __m256 q = _mm256_mul_ps(a, r);
  return _mm256_fmadd_ps(_mm256_fnmadd_ps(q, b, a), r, q);
}

// Eight pixels at a time: 24 numbers, three vectors, each with its own order of channels. Returns the pixels done.
__attribute__((target("avx2,fma"))) std::int64_t apply_vectors(const Normalize& how, const std::uint8_t* rgb,
                                                               std::int64_t pixels, float* out) {
  alignas(32) float mean[24], std[24], inverse[24];
  for (std::size_t i = 0; i < 24; ++i) {
    mean[i] = how.mean[i % 3];
    std[i] = how.std[i % 3];
    inverse[i] = 1.0f / std[i];
  }
  __m256 m[3], s[3], r[3];
  for (int k = 0; k < 3; ++k) {
    m[k] = _mm256_load_ps(mean + 8 * k);
    s[k] = _mm256_load_ps(std + 8 * k);
    r[k] = _mm256_load_ps(inverse + 8 * k);
  }
  const __m256 most = _mm256_set1_ps(255.0f), share = _mm256_set1_ps(1.0f / 255.0f);
  std::int64_t done = 0;
  for (; done + 8 <= pixels; done += 8, rgb += 24, out += 24) {
    for (int k = 0; k < 3; ++k) {
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(rgb + 8 * k));
      const __m256 v = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
      const __m256 centred = _mm256_sub_ps(divided(v, most, share), m[k]);
      _mm256_storeu_ps(out + 8 * k, divided(centred, s[k], r[k]));
    }
  }
  return done;
}

#else

bool have_vectors() { return false; }
std::int64_t apply_vectors(const Normalize&, const std::uint8_t*, std::int64_t, float*) { return 0; }

#endif

}  // namespace

void Normalizer::set(const Normalize& how) {
  if (ready_ && how == how_) return;
  ready_ = true;
  how_ = how;
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t v = 0; v < 256; ++v)
      table_[c][v] = normalized_byte(static_cast<std::uint8_t>(v), how.mean[c], how.std[c]);
  vectors_ = false;
  if (!have_vectors()) return;
  std::vector<std::uint8_t> every(256 * 3);
  for (std::size_t i = 0; i < every.size(); ++i) every[i] = static_cast<std::uint8_t>(i / 3);
  std::vector<float> values(every.size());
  if (apply_vectors(how, every.data(), 256, values.data()) != 256) return;
  bool equal = true;
  for (std::size_t i = 0; i < values.size(); ++i)
    equal = equal && std::bit_cast<std::uint32_t>(values[i]) == std::bit_cast<std::uint32_t>(table_[i % 3][i / 3]);
  vectors_ = equal;
}

void Normalizer::apply(const std::uint8_t* rgb, std::int64_t pixels, float* out) const {
  std::int64_t done = vectors_ ? apply_vectors(how_, rgb, pixels, out) : 0;
  const float *red = table_[0].data(), *green = table_[1].data(), *blue = table_[2].data();
  rgb += 3 * done;
  out += 3 * done;
  for (; done < pixels; ++done, rgb += 3, out += 3) {
    out[0] = red[rgb[0]];
    out[1] = green[rgb[1]];
    out[2] = blue[rgb[2]];
  }
}

void normalize(const std::uint8_t* rgb, int height, int width, bool flip, const Normalize& how, float* out) {
  const Normalizer normalizer(how);
  if (!flip) return normalizer.apply(rgb, std::int64_t{height} * width, out);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      normalizer.apply(rgb + std::ptrdiff_t{3} * (std::int64_t{y} * width + width - 1 - x), 1,
                       out + std::ptrdiff_t{3} * (std::int64_t{y} * width + x));
}

}  // namespace pen
