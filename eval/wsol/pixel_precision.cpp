#include "eval/wsol/pixel_precision.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/parallel.h"
#include "eval/wsol/box_accuracy.h"

namespace pen::eval::wsol {
namespace {

// The bin [edge_i, edge_(i+1)) of a score in [0, 1]: a guess from the constant width, moved to where the edges say.
std::size_t bin_of(double score, const std::vector<double>& edges, double per_unit) {
  auto i = std::min(static_cast<std::size_t>(score * per_unit), edges.size() - 2);
  while (score < edges[i]) --i;
  while (score >= edges[i + 1]) ++i;
  return i;
}

// From the last bin to the first. Counts: object bins, then background bins. NaN without object pixels.
template <class Count>
double average_precision(const std::vector<Count>& counts) {
  const std::size_t bins = counts.size() / 2;
  double objects = 0;
  for (std::size_t i = 0; i < bins; ++i) objects += static_cast<double>(counts[i]);
  if (objects == 0) return std::numeric_limits<double>::quiet_NaN();
  double found = static_cast<double>(counts[bins - 1]), wrong = static_cast<double>(counts[2 * bins - 1]);
  double area = 0, recall = found / objects;
  for (std::size_t i = bins - 1; i-- > 0;) {
    found += static_cast<double>(counts[i]);
    wrong += static_cast<double>(counts[bins + i]);
    const double before = recall;
    recall = found / objects;
    if (found + wrong > 0) area += found / (found + wrong) * (recall - before);
  }
  return 100 * area;
}

}  // namespace

PixelPrecision::PixelPrecision(double interval) : edges_(thresholds(interval)) {
  edges_.insert(edges_.end(), {1.0, 2.0, 3.0});
}

void PixelPrecision::add(std::span<const double> maps, std::span<const std::uint8_t> truths, std::int64_t n,
                         std::span<const std::string> names) {
  const auto count = static_cast<std::size_t>(n);
  PEN_CHECK(n >= 1 && maps.size() == truths.size() && maps.size() % count == 0 && names.size() == count,
            "pixel precision: ", maps.size(), " scores, ", truths.size(), " true pixels and ", names.size(),
            " names for ", n, " images");
  const std::size_t pixels = maps.size() / count;
  PEN_CHECK(pixels < std::numeric_limits<std::uint32_t>::max(), "pixel precision: ", pixels, " pixels in one map");
  const double per_unit = static_cast<double>(edges_.size() - 3);
  std::vector<std::vector<std::uint32_t>> added(count);
  parallel_for(n, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const auto scores = maps.subspan(i * pixels, pixels);
      const auto truth = truths.subspan(i * pixels, pixels);
      check_scores(scores, names[i]);
      std::vector<std::uint32_t>& counts = added[i];
      counts.assign(2 * bins(), 0);
      for (std::size_t p = 0; p < pixels; ++p) {
        if (truth[p] == ignored) continue;
        PEN_CHECK_AS(data, truth[p] == object || truth[p] == background, "the true mask of '", names[i], "' holds ",
                     int{truth[p]}, ": expected 0 (background), 1 (object) or 255 (ignored)");
        ++counts[bin_of(scores[p], edges_, per_unit) + (truth[p] == object ? 0 : bins())];
      }
    }
  });
  std::move(added.begin(), added.end(), std::back_inserter(images_));
}

PixelPrecision::Histograms PixelPrecision::histograms() const {
  Histograms sums{std::vector<std::int64_t>(bins()), std::vector<std::int64_t>(bins())};
  for (const auto& image : images_) {
    for (std::size_t i = 0; i < bins(); ++i) {
      sums.object[i] += image[i];
      sums.background[i] += image[bins() + i];
    }
  }
  return sums;
}

double PixelPrecision::pxap() const {
  PEN_CHECK_AS(data, !images_.empty(), "pixel precision: no images");
  Histograms sums = histograms();
  sums.object.insert(sums.object.end(), sums.background.begin(), sums.background.end());
  const double value = average_precision(sums.object);
  PEN_CHECK_AS(data, !std::isnan(value), "pixel precision: the true masks have no object pixel in any of ",
               images_.size(), " images");
  return value;
}

Interval PixelPrecision::interval(const BootstrapOptions& options) const {
  const double value = pxap();  // refuses what has no precision
  Interval out = bootstrap_statistic(
      static_cast<std::int64_t>(images_.size()),
      [&](std::span<const std::int32_t> times) {
        std::vector<std::int64_t> sums(2 * bins());
        for (std::size_t i = 0; i < times.size(); ++i) {
          if (times[i] == 0) continue;
          for (std::size_t c = 0; c < sums.size(); ++c) sums[c] += times[i] * std::int64_t{images_[i][c]};
        }
        const double resampled = average_precision(sums);
        return std::isnan(resampled) ? value : resampled;  // a resample without any object says nothing
      },
      options);
  out.mean = value;
  return out;
}

std::vector<PrecisionRecall> PixelPrecision::curve() const {
  const Histograms sums = histograms();
  double objects = 0;
  for (const std::int64_t c : sums.object) objects += static_cast<double>(c);
  std::vector<PrecisionRecall> out;
  double found = 0, wrong = 0;
  for (std::size_t i = bins(); i-- > 0;) {
    found += static_cast<double>(sums.object[i]);
    wrong += static_cast<double>(sums.background[i]);
    out.push_back({edges_[i], found + wrong > 0 ? found / (found + wrong) : 0, objects > 0 ? found / objects : 0});
  }
  return out;
}

std::vector<PixelPrecision::Image> PixelPrecision::images() const {
  std::vector<Image> out;
  for (const auto& counts : images_) {
    Image image;
    image.pxap = average_precision(counts);
    for (std::size_t i = 0; i < bins(); ++i) {
      image.object += counts[i];
      image.background += counts[bins() + i];
    }
    out.push_back(image);
  }
  return out;
}

}  // namespace pen::eval::wsol
