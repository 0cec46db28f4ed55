// PxAP, the pixel-wise average precision (Choe et al., CVPR 2020): area under the precision-recall curve of a score map
// against a pixel mask, all images together.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "eval/bootstrap.h"

namespace pen::eval::wsol {

// A point of the curve: the pixels with scores of at least `threshold` are called object.
struct PrecisionRecall {
  double threshold = 0;
  double precision = 0, recall = 0;  // precision is 0 where nothing is called object
};

// Collects images. Keeps two histograms of each.
class PixelPrecision {
 public:
  // Bins [0, interval), [interval, 2 interval), .., up to 1, then [1, 2) and [2, 3] as in the reference: the scores of
  // exactly 1 have a bin of their own, the last one stays empty.
  explicit PixelPrecision(double interval);

  static constexpr std::uint8_t object = 1, background = 0, ignored = 255;
  // n maps (n, pixels) in [0, 1] and their truths (n, pixels) of the three values above; images are spread over the
  // threads. A score that is NaN or outside of [0, 1], or another value in a truth: a data error that names the image,
  // and nothing is added.
  void add(std::span<const double> maps, std::span<const std::uint8_t> truths, std::int64_t n,
           std::span<const std::string> names);

  struct Histograms {
    std::vector<std::int64_t> object, background;
  };
  Histograms histograms() const;  // sums over the images
  // 100 sum_k precision_k (recall_k - recall_(k-1)) over falling thresholds, from the second on. No images, or no
  // object pixel in any of them: a data error.
  double pxap() const;
  Interval interval(const BootstrapOptions& options) const;
  std::vector<PrecisionRecall> curve() const;  // by falling thresholds

  // One image alone: its PxAP (NaN without object pixels) and the number of its object pixels.
  struct Image {
    double pxap = 0;
    std::int64_t object = 0, background = 0;
  };
  std::vector<Image> images() const;
  const std::vector<double>& edges() const { return edges_; }

 private:
  std::size_t bins() const { return edges_.size() - 1; }
  std::vector<double> edges_;
  std::vector<std::vector<std::uint32_t>> images_;  // of each: object bins, then background bins
};

}  // namespace pen::eval::wsol
