// What a convolution plan of the GPU library is asked for, and its name in caches and logs. Knows no device.
#pragma once

#include <array>
#include <string>

#include "kernels/types.h"

namespace pen::kernels {

// forward: y = act(x * w + b + residual), and where y > 0 if `marks`. data: dx = (data gradient of dy) + residual, kept
// where a gate is open if `gate`. weight: dw. b, the ReLU and the marks are of `forward`, the gate of `data` only.
enum class ConvKind : std::uint8_t { forward, data, weight };

struct ConvSpec {
  ConvKind kind = ConvKind::forward;
  Conv2d d{};  // weight_key does not count, relu_slope only with `relu`
  DType dtype = DType::f32;
  Math math = Math::fp32;  // of float32
  bool bias = false, residual = false, relu = false, marks = false, gate = false;
  bool deterministic = true;

  // Whether the library has anything to fuse. Marks and gates are bytes, which it does not read or write.
  bool fusible() const { return bias || residual || relu; }
};

// Every field that chooses a plan, in words: "forward f32 fp32 n2 h7 w5 c3 k4 r3 s3 p7 q5 stride1 pad1 dilation1
// groups1 bias relu marks deterministic". Equal specs have equal keys and others have others.
std::string key_of(const ConvSpec& spec);
// The same as numbers, for a map in memory.
using ConvSpecKey = std::array<std::int64_t, 16>;
ConvSpecKey numbers_of(const ConvSpec& spec);

}  // namespace pen::kernels
