// Confidence intervals by the percentile bootstrap (Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, 13.3).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace pen::eval {

struct BootstrapOptions {
  std::int64_t resamples = 1000;
  double level = 0.95;  // share of the resampled means between low and high
  std::uint64_t seed = 0;
};

// Mean over images and its interval.
struct Interval {
  double mean = 0, low = 0, high = 0;
};

// Intervals of the means of each column of `rows` (images, columns), all columns resampled together, images drawn with
// replacement. Resample r draws from Philox stream r, so that the result depends on the options alone and not on
// threads. Percentiles interpolate linearly between order statistics. No images, or a value that is not finite: an
// error.
std::vector<Interval> bootstrap(std::span<const double> rows, std::int64_t images, std::int64_t columns,
                                const BootstrapOptions& options = {});
// Of a single column.
Interval bootstrap(std::span<const double> values, const BootstrapOptions& options = {});

// The same of any figure of the whole set: statistic(times) is told how often each image was drawn. `mean` is that of
// every image once. A figure that is not finite: an error. Called from several threads.
using ResampledStatistic = std::function<double(std::span<const std::int32_t> times)>;
Interval bootstrap_statistic(std::int64_t images, const ResampledStatistic& statistic,
                             const BootstrapOptions& options = {});

// Value at the given fraction (0..1) of a sorted list, interpolated linearly, as numpy.percentile does.
double quantile(std::span<const double> sorted, double fraction);

}  // namespace pen::eval
