#include "eval/sanity/tally.h"

#include <cmath>
#include <limits>
#include <numeric>

namespace pen::eval::sanity {

Mean mean_of(std::span<const MapScores> images, std::size_t metric, bool nan_counts, const BootstrapOptions& options) {
  std::vector<double> values;
  for (const MapScores& image : images) {
    const double value = image.values().at(metric);
    if (!std::isnan(value)) values.push_back(value);
  }
  Mean out;
  out.defined = static_cast<std::int64_t>(values.size());
  out.undefined = static_cast<std::int64_t>(images.size()) - out.defined;
  out.mean = std::numeric_limits<double>::quiet_NaN();
  if (values.empty() || (nan_counts && out.undefined > 0)) return out;
  out.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  if (options.resamples > 0) out.interval = bootstrap(values, options);
  return out;
}

}  // namespace pen::eval::sanity
