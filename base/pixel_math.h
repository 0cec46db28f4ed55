// The arithmetic between a decoded pixel and a network's input: Pillow's fixed-point rounding, and torchvision's
// ToTensor with Normalize. Written once, for the loader's vectors and for kernels.
#pragma once

#include <cstdint>

#include "base/rng.h"

namespace pen {

// A resize's weight has 22 fractional bits: 8 bits of pixel and two for the sum remain in 32. A sum of weight * pixel
// begins with half a unit. (Source of the numbers: Pillow, src/libImaging/Resample.c, behaviour.)
constexpr int pixel_weight_bits = 22;
constexpr std::int32_t pixel_sum_start = 1 << (pixel_weight_bits - 1);

// Makes a finished sum its byte. I: std::int32_t, or a vector of them; by reference, as a vector that is wider than the
// registers of the processor compiled for has no settled way to be returned. (Weights are not negative: no sum is.)
template <class I>
PEN_HD inline void sum_to_byte(I& sum) {
  const I most = I{} + 255, byte = sum >> pixel_weight_bits;
  sum = byte > most ? most : byte;
}
PEN_HD inline std::int32_t byte_of_sum(std::int32_t sum) {
  sum_to_byte(sum);
  return sum;
}

// In float32 and in this order.
PEN_HD inline float normalized_byte(std::uint8_t byte, float mean, float std) {
  return (static_cast<float>(byte) / 255.0f - mean) / std;
}

}  // namespace pen
