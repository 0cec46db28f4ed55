// What follows the sums of a convolution of ours, while they are still in registers.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cpu/lanes.h"

namespace pen::kernels::cpu {

// In this order. Null: nothing.
struct Epilogue {
  const float* residual = nullptr;     // is added; may be the output itself
  bool relu = false;                   // what is negative is multiplied by slope
  const std::uint8_t* open = nullptr;  // bits: what has a 0 is multiplied by slope
  std::uint8_t* positive = nullptr;    // bits: 1 where the result is > 0
  float slope = 0;
};

// y[at...] = epilogue(sums) for one vector; `at` is a multiple of lanes, so that its bits are whole bytes.
template <bool residual, bool relu, bool gated, bool marks, bool leaky>
[[gnu::always_inline]] inline void store(const Epilogue& e, const Vector* sums, std::int64_t at, float* y) {
  Vector v = *sums;
  if constexpr (residual) v += *reinterpret_cast<const Vector*>(e.residual + at);
  if constexpr (relu) v = v < Vector{} ? (leaky ? e.slope * v : Vector{}) : v;
  if constexpr (gated) {
    LaneBits open;
    std::memcpy(&open, e.open + at / 8, sizeof open);
    Vector closed = e.slope * v;
    keep_lanes(open, &v);
    if constexpr (leaky) {
      keep_lanes(static_cast<LaneBits>(~open), &closed);
      v += closed;
    }
  }
  *reinterpret_cast<Vector*>(y + at) = v;
  if constexpr (marks) {
    const LaneBits positive = positive_lanes(&v);
    std::memcpy(e.positive + at / 8, &positive, sizeof positive);
  }
}

// Calls f.template operator()<residual, relu, gated, marks, leaky>(): loops of their own for each combination, free of
// questions.
template <bool... chosen, class F>
void with_epilogue(const Epilogue& e, F&& f) {
  if constexpr (sizeof...(chosen) == 5) {
    f.template operator()<chosen...>();
  } else {
    const bool all[] = {e.residual != nullptr, e.relu, e.open != nullptr, e.positive != nullptr, e.slope != 0};
    if (all[sizeof...(chosen)]) return with_epilogue<chosen..., true>(e, f);
    with_epilogue<chosen..., false>(e, f);
  }
}

}  // namespace pen::kernels::cpu
