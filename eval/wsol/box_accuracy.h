// MaxBoxAcc and MaxBoxAccV2 (Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020):
// the share of images whose box is right, at the threshold that is best for all images together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "eval/bootstrap.h"
#include "eval/wsol/level_sets.h"

namespace pen::eval::wsol {

// 0, interval, 2 interval, .. below 1, each as numpy.arange(0, 1, interval) rounds it. interval in [1e-4, 1].
std::vector<double> thresholds(double interval);

// Intersection over union of boxes with inclusive corners (so that a box of equal corners is one pixel).
double inclusive_iou(const Box& a, const Box& b);

// A box of an image in the frame of its map: each corner times new size over old, cut off to an integer. The box must
// satisfy 0 <= x0 <= x1, 0 <= y0 <= y1: anything else is a data error that names `where`.
Box resized(const Box& box, std::int64_t width, std::int64_t height, std::int64_t new_width, std::int64_t new_height,
            const std::string& where);

// Every score in [0, 1]; NaN or a value outside of it is a data error that names `where`.
void check_scores(std::span<const double> scores, const std::string& where);

enum class BoxMetric {
  v1,  // the box of the contour with the largest area, right at IoU >= 0.5
  v2,  // the best of all contours' boxes, right at IoU >= 0.3, 0.5 and 0.7; the mean of the three
};
// In percent: {50} or {30, 50, 70}.
std::vector<int> iou_levels(BoxMetric metric);

// The best IoU of a map's boxes with any of its annotated ones, for every cut of the map.
struct BoxCurve {
  int top = 0;            // largest byte of the map
  double of_nothing = 0;  // of the box {0, 0, 0, 0}, which stands for a cut without contours
  // Runs of cuts {byte > T} with the same value: the last T of each, ascending up to top - 1, and the value. Many
  // images are kept, and neighbouring cuts often have the same boxes.
  std::vector<std::uint8_t> last;
  std::vector<double> iou;
  double at(double threshold) const {
    const auto cut = static_cast<int>(threshold * top);
    if (cut >= top) return of_nothing;
    return iou[static_cast<std::size_t>(std::lower_bound(last.begin(), last.end(), cut) - last.begin())];
  }
};
// scores (height, width) as check_scores() wants them; truth: at least one box with inclusive corners.
BoxCurve box_curve(std::span<const double> scores, int height, int width, std::span<const Box> truth, BoxMetric metric,
                   LevelSets& workspace);

// Collects images. Keeps at most 256 numbers of each, fewer where cuts have the same boxes.
class BoxAccuracy {
 public:
  BoxAccuracy(BoxMetric metric, double interval) : metric_(metric), thresholds_(thresholds(interval)) {}

  // n maps (n, height, width) with the boxes and names of each; images are spread over the threads. A map that
  // check_scores() refuses, or an image without boxes: a data error that names it, and nothing is added.
  void add(std::span<const double> maps, std::int64_t n, int height, int width,
           std::span<const std::vector<Box>> truths, std::span<const std::string> names);

  struct Result {
    double performance = 0;                          // percent: of level 50, or the mean over the levels
    std::vector<int> levels;                         // iou_levels()
    std::vector<double> best;                        // percent, for each level
    std::vector<std::size_t> best_at;                // number of its threshold; the lowest of equal ones
    std::vector<std::vector<std::int64_t>> correct;  // images that are right, for each level and threshold
    std::int64_t images = 0;
  };
  // No images: a data error.
  Result result() const;
  // Bootstrap interval of the performance; the thresholds are chosen anew for each resample.
  Interval interval(const BootstrapOptions& options) const;

  const std::vector<double>& cuts() const { return thresholds_; }
  const std::vector<BoxCurve>& images() const { return images_; }
  BoxMetric metric() const { return metric_; }

 private:
  BoxMetric metric_;
  std::vector<double> thresholds_;
  std::vector<BoxCurve> images_;
};

}  // namespace pen::eval::wsol
