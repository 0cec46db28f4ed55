#include "base/rng.h"

#include <cmath>
#include <numbers>

#include "base/check.h"

namespace pen {

std::uint32_t Rng::next32() {
  const std::uint64_t i = position_++;
  return philox(seed_, stream_, i >> 2).v[i & 3];
}

double Rng::normal() {
  const double u = 1.0 - uniform();  // (0, 1]: the logarithm is finite
  const double v = uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

std::uint64_t Rng::below(std::uint64_t n) {
  PEN_CHECK(n >= 1, "Rng::below: no integer is below ", n);
  std::uint64_t mask = n - 1;
  for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
  for (;;) {
    std::uint64_t draw = next32();
    if (mask > 0xffffffffull) draw |= static_cast<std::uint64_t>(next32()) << 32;
    draw &= mask;
    if (draw < n) return draw;
  }
}

Mt19937::Mt19937(std::uint32_t seed) {
  state_[0] = seed;
  for (std::uint32_t i = 1; i < 624; ++i) state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
}

std::uint32_t Mt19937::next() {
  if (position_ == 624) {
    for (std::size_t i = 0; i < 624; ++i) {
      const std::uint32_t y = (state_[i] & 0x80000000u) | (state_[(i + 1) % 624] & 0x7fffffffu);
      state_[i] = state_[(i + 397) % 624] ^ (y >> 1) ^ ((y & 1u) ? 0x9908b0dfu : 0u);
    }
    position_ = 0;
  }
  std::uint32_t y = state_[position_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

std::uint32_t Mt19937::bounded(std::uint32_t max) {
  if (max == 0) return 0;
  std::uint32_t mask = max;
  for (int shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
  for (;;) {
    const std::uint32_t draw = next() & mask;
    if (draw <= max) return draw;
  }
}

}  // namespace pen
