#include "kernels/cpu/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/parallel.h"

namespace pen::kernels::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif
typedef float Vector __attribute__((vector_size(vector_bytes)));

// Two units of four cycles' latency need eight independent sums; ten leave registers for the factors everywhere.
constexpr int chains = 10;
constexpr std::int64_t rounds = 1 << 20;

Vector work(float factor) {
  const Vector a = Vector{} + factor, b = Vector{} + 1e-3f;
  Vector sum[chains];
  for (int i = 0; i < chains; ++i) sum[i] = Vector{} + static_cast<float>(i + 1);
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < chains; ++i) sum[i] = sum[i] * a + b;
  }
  for (int i = 1; i < chains; ++i) sum[0] += sum[i];
  return sum[0];
}

}  // namespace

double peak_flops_per_s() {
  double best = 0;
  const std::int64_t lanes = vector_bytes / static_cast<std::int64_t>(sizeof(float));
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    parallel_for(threads(), 1, [](std::int64_t begin, std::int64_t end) {
      // The compiler may neither know the factor nor leave the result out.
      volatile float factor = 0.999f;
      for (std::int64_t i = begin; i < end; ++i) {
        const Vector result = work(factor);
        factor = 0.999f + 0 * result[0];
      }
    });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * static_cast<double>(threads() * rounds * chains * lanes) / elapsed.count());
  }
  return best;
}

}  // namespace pen::kernels::cpu
