// Soft masks against true pixel masks: intersection over union at the best threshold that all images share.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace pen::eval {

// Accumulates images. With thresholds t = 0.00, 0.01, .., 1.00 the prediction is [m >= t] (so that t = 0 is the whole
// frame), IoU(t) = |prediction and truth| / |prediction or truth|. One pass over the pixels serves all thresholds.
class MaskIou {
 public:
  static constexpr std::size_t thresholds = 101;
  static double threshold(std::size_t k) { return static_cast<double>(k) / 100.0; }
  using Curve = std::array<double, thresholds>;

  // n masks (n, pixels) with values in [0, 1] and their truths (n, pixels), non-zero where the object is. A mask with a
  // value outside of [0, 1] or NaN, or a truth without any pixel, is a data error that gives the image's number.
  void add(std::span<const float> masks, std::span<const std::uint8_t> truths, std::int64_t n);

  struct Result {
    double threshold = 0;         // the best common one; the lowest of equal ones
    double mean = 0;              // mean over images of the IoU at it
    Curve curve{};                // mean over images at every threshold
    std::vector<double> images;   // IoU of each image at the common threshold
    std::vector<double> best;     // IoU of each image at its own best threshold
    std::vector<double> best_at;  // that threshold; the lowest of equal ones
  };
  // No images: a data error.
  Result result() const;

 private:
  std::vector<Curve> images_;
};

}  // namespace pen::eval
