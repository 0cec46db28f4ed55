// From a soft mask to a box: binarise, optionally erode or dilate, keep the largest component, take its box.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/box.h"

namespace pen::eval {

// Mean of a mask as a float32: summed in double and rounded once, so that a constant mask has exactly its own value as
// mean (and binarises to nothing) whatever its size.
float mask_mean(std::span<const float> mask);

// b = [m > mean(m)], 1 or 0 for each pixel. A map without variation gives zeros.
void binarise(std::span<const float> mask, std::span<std::uint8_t> binary);
std::vector<std::uint8_t> binarise(std::span<const float> mask);

// Binary erosion, `iterations` times by the cross of a pixel and its four neighbours; outside of the frame counts as
// set. binary: (height, width), changed in place.
void erode(std::span<std::uint8_t> binary, std::int64_t height, std::int64_t width, int iterations);
// Binary dilation by the same cross; outside of the frame counts as not set.
void dilate(std::span<std::uint8_t> binary, std::int64_t height, std::int64_t width, int iterations);

// A connected component: pixels, and its true box.
struct Component {
  std::int64_t pixels = 0;
  Box box;
};
// The component with the most pixels under 4-connectivity; of equal ones the first in raster order. No pixel set: zero
// pixels and an empty box.
Component largest_component(std::span<const std::uint8_t> binary, std::int64_t height, std::int64_t width);

struct BoxOptions {
  Protocol protocol = Protocol::paper;
  int erode = 0, dilate = 0;  // iterations, before the component is chosen
};

// The box of a binarised mask (size, size). paper: the last column and row of the component serve as exclusive ends, so
// that the box is one pixel short on each axis; nothing set gives the empty box of zeros. strict: the true exclusive
// ends; nothing set gives the whole frame. `binary` is changed by erosion and dilation.
Box predicted_box(std::span<std::uint8_t> binary, std::int64_t size, const BoxOptions& options = {});

}  // namespace pen::eval
