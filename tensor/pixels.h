// Decoded images that become a network's input on a device: resized in 8-bit-exact arithmetic, cut, mirrored,
// normalised.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/types.h"
#include "tensor/upload.h"

namespace pen {

// One axis of a resize as tables: output i is made of `taps[i]` inputs from start[i] on, with weights[i * stride ...]
// of pixel_weight_bits fractional bits.
struct PixelAxis {
  int stride = 0;
  std::vector<std::int32_t> start, taps, weights;
  std::int32_t count() const { return static_cast<std::int32_t>(start.size()); }
};

// One image: source pixels and what becomes of them. The outputs of the axes land at row `top`, column `left` of the
// image that is made, mirrored within their columns if `flip`; around them are bytes of zero.
struct PixelPart {
  int rows = 0, cols = 0;
  std::vector<std::uint8_t> rgb;  // (rows, cols, 3)
  PixelAxis x, y;
  int top = 0, left = 0;
  bool flip = false;
};

// (n, side, side, 3) float32 of n parts, whose axes fit into side. On a GPU pixels and tables go there in one copy, by
// the uploader, and two kernels do the rest; what upload() asks for holds here too.
Tensor made_of_pixels(std::span<const PixelPart> parts, int side, const kernels::PixelNormal& normal,
                      Uploader& uploader);

}  // namespace pen
