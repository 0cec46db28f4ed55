// Structural similarity as skimage.metrics.structural_similarity computes it.
#pragma once

#include <cstdint>
#include <span>

namespace pen::eval::sanity {

struct SsimOptions {
  int window = 5;         // side of the uniform window, odd
  double data_range = 2;  // L in C1 = (0.01 L)^2, C2 = (0.03 L)^2; 2 is what scikit-image takes for float images
};

// Mean over the pixels whose window lies inside of the maps (height, width) of
//   (2 ma mb + C1) (2 sab + C2) / ((ma^2 + mb^2 + C1) (sa^2 + sb^2 + C2)),
// m the means, s the sample (co)variances in the window. Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality
// assessment: from error visibility to structural similarity", IEEE TIP 2004, with scikit-image's choices: sample
// covariance n/(n-1), uniform window (scipy.ndimage.uniform_filter), all arrays in float32, the mean in double.
// NaN where a map holds a value that is not finite, or the ratio is 0/0 (constant maps with data range 0). Maps smaller
// than the window: an error.
double ssim(std::span<const float> a, std::span<const float> b, std::int64_t height, std::int64_t width,
            const SsimOptions& options = {});

}  // namespace pen::eval::sanity
