// One method's maps of a data set, judged by any number of metrics in one pass.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/attribution/method.h"
#include "eval/bootstrap.h"
#include "eval/judging/metrics.h"
#include "eval/map_source.h"
#include "eval/wsol/box_accuracy.h"
#include "eval/wsol/dataset.h"
#include "eval/wsol/pixel_precision.h"

namespace pen::eval {

struct JudgeOptions {
  std::vector<Metric> metrics;
  Protocol protocol = Protocol::paper;
  TargetRule target;          // which class's probability is watched
  std::int64_t steps = 28;    // of insertion and deletion: 224*8 pixels a step at 224x224
  std::int64_t samples = 10;  // of max_sensitivity
  double radius = 0.02;       // of its noise, in normalised values
  double cam_curve_interval = 0.01;
  std::uint64_t seed = 0;
};

// Collects images. Keeps one number for each image and metric, and what BoxAccuracy and PixelPrecision keep.
class Judge {
 public:
  // `classifier` may be null if no metric needs one. A metric whose truth the data set lacks: a usage error.
  Judge(JudgeOptions options, const wsol::Dataset& dataset, const MapSource& source,
        std::shared_ptr<pen::Classifier> classifier);

  // Whether any metric looks at the images.
  bool reads_images() const;
  // One batch of images with the numbers [first, first + n), of sources and metrics that need images also these. A map
  // that is not finite or outside of [0, 1]: a data error that names the image.
  void add(const Batch& batch, std::int64_t first);

  struct Total {
    std::string metric;
    double value = 0;
    std::optional<Interval> interval;  // by resampling images; none for resamples 0
  };
  std::vector<Total> totals(const BootstrapOptions& resampling) const;

  // Values of each image, (images, columns): the metrics that have one. LE as 0 and 1; MaxBoxAcc, MaxBoxAccV2 as 0 to
  // 100 at the thresholds that are best for all images, so that means of columns are the totals. PxAP_of_image, which
  // stands for PxAP, is NaN where there is no object; its mean is not the total.
  struct Rows {
    std::vector<std::string> columns;
    std::vector<double> values;
  };
  Rows rows() const;
  std::int64_t images() const { return images_; }
  // Where the curves of insertion and deletion begin and end, as means over the images: what there is to tell methods
  // apart by. Empty without such a metric.
  struct Ends {
    std::string metric;
    double start = 0, end = 0;
  };
  std::vector<Ends> ends() const;
  // A sentence where insertion begins so near to its end that it says little of any map; else empty.
  std::string warning() const;
  // What PxAP found contradictory in the annotation.
  const wsol::Contested& contested() const { return contested_; }

 private:
  std::size_t column(std::string_view metric) const;  // in values_, or npos
  void place_metrics(std::span<const double> map, std::int64_t number, double* row);
  void causal_metrics(std::span<const double> map, std::span<const float> image, std::int64_t target,
                      std::uint64_t number, double* row);
  double max_sensitivity(const Batch& batch, std::size_t i, std::span<const double> map, std::int64_t number);
  bool wants(std::string_view metric) const;

  JudgeOptions options_;
  const wsol::Dataset& dataset_;
  const MapSource& source_;
  std::shared_ptr<pen::Classifier> network_;
  Classifier classifier_;
  std::vector<std::string> columns_;  // metrics with a value of each image, but for those of the two below
  std::vector<double> values_;        // (images, columns_)
  wsol::BoxAccuracy v1_, v2_;
  wsol::PixelPrecision pixels_;
  std::vector<Ends> ends_;  // sums
  wsol::Contested contested_;
  std::int64_t images_ = 0;
};

}  // namespace pen::eval
