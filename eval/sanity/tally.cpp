#include "eval/sanity/tally.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/check.h"

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

std::vector<Means> means_of(const std::vector<Heading>& headings, bool nan_counts, const BootstrapOptions& options) {
  std::vector<Means> out(headings.size());
  std::vector<std::pair<std::size_t, std::size_t>> complete;  // heading and figure
  std::size_t images = 0;
  for (std::size_t h = 0; h < headings.size(); ++h) {
    for (std::size_t k = 0; k < out[h].size(); ++k) {
      BootstrapOptions none = options;
      none.resamples = 0;
      out[h][k] = mean_of(headings[h].images, k, nan_counts, none);
      if (options.resamples == 0 || out[h][k].defined == 0) continue;
      if (out[h][k].undefined > 0) {
        out[h][k] = mean_of(headings[h].images, k, nan_counts, options);
        continue;
      }
      PEN_CHECK(complete.empty() || headings[h].images.size() == images, "sanity check: headings of ", images, " and ",
                headings[h].images.size(), " images");
      images = headings[h].images.size();
      complete.emplace_back(h, k);
    }
  }
  if (complete.empty()) return out;
  std::vector<double> rows;
  rows.reserve(images * complete.size());
  for (std::size_t i = 0; i < images; ++i)
    for (const auto& [h, k] : complete) rows.push_back(headings[h].images[i].values()[k]);
  const std::vector<Interval> intervals =
      bootstrap(rows, static_cast<std::int64_t>(images), static_cast<std::int64_t>(complete.size()), options);
  for (std::size_t c = 0; c < complete.size(); ++c) out[complete[c].first][complete[c].second].interval = intervals[c];
  return out;
}

}  // namespace pen::eval::sanity
