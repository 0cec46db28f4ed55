#include "base/clock_speed.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace pen {

double measured_clock_ghz() {
  constexpr int repeats = 8, rounds = 1000000, additions = 8;
  double best = 0;
  std::uint64_t x = 1, y = 3;
  // The compiler may assume nothing of x and y. An addition of two registers: newer processors do away with constants.
  const auto opaque = [&] { asm volatile("" : "+r"(x), "+r"(y)); };
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (int k = 0; k < rounds; ++k) {
      x += y, opaque(), x += y, opaque(), x += y, opaque(), x += y, opaque();
      x += y, opaque(), x += y, opaque(), x += y, opaque(), x += y, opaque();
    }
    const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, double{rounds} * additions / elapsed.count());
  }
  return best;
}

}  // namespace pen
