// Histograms of oriented gradients as skimage.feature.hog computes them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pen::eval::sanity {

// Defaults: skimage's, with the cells of the reference's sanity checks.
struct HogOptions {
  int orientations = 9;  // bins over 180 degrees
  int cell = 16;         // pixels along a side of a cell
  int block = 3;         // cells along a side of a block
};

// Descriptor of a map (height, width): (cells down - block + 1, cells across - block + 1, block, block, orientations),
// flattened. Of a finite map.
//   g = central difference (0 on the border); the magnitude |g| votes in the bin of its angle modulo 180 degrees, and a
//   cell's bin is the mean of its votes over its pixels; b = bins of a block; L2-Hys: b / sqrt(|b|^2 + 1e-10), cut at
//   0.2, and once more b / sqrt(|b|^2 + 1e-10).
// Source: Dalal, Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, in the form of scikit-image
// 0.19 to 0.26 for float32: differences, sums of votes and result in float32, everything else in double. A map smaller
// than one block: an error.
std::vector<float> hog(std::span<const float> map, std::int64_t height, std::int64_t width,
                       const HogOptions& options = {});

// The smallest side that hog() takes.
constexpr std::int64_t smallest_side(const HogOptions& options) {
  return static_cast<std::int64_t>(options.cell) * options.block;
}

}  // namespace pen::eval::sanity
