// Statistics of masks as training logs and scores report them, for masks on the host; the formulas are those of the
// kernel mask_statistics.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pen {

// Of one mask m (height, width).
struct MaskStatistics {
  double avg = 0;      // mean of m
  double entropy = 0;  // mean over all pixels of -m log2 m, pixels outside of 0 < m < 1 counting 0; bits
  double tv = 0;       // mean squared horizontal plus mean squared vertical difference; 0 for an axis of one pixel
};
MaskStatistics mask_statistics(std::span<const float> mask, std::int64_t height, std::int64_t width);

// Of each of n masks (n, height, width), in parallel.
std::vector<MaskStatistics> mask_statistics(std::span<const float> masks, std::int64_t n, std::int64_t height,
                                            std::int64_t width);

// Of a batch: the means over its masks, and
// std: the unbiased standard deviation over the batch of each mask's mean; NaN for fewer than two masks, where it is
// not defined.
struct BatchMaskStatistics {
  double avg = 0, std = 0, entropy = 0, tv = 0;
};
BatchMaskStatistics combine(std::span<const MaskStatistics> masks);

}  // namespace pen
