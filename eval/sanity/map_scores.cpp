#include "eval/sanity/map_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "eval/sanity/correlation.h"
#include "eval/sanity/hog.h"
#include "eval/sanity/ssim.h"

namespace pen::eval::sanity {
namespace {

bool finite(std::span<const float> map) {
  return std::all_of(map.begin(), map.end(), [](float m) { return std::isfinite(m); });
}

// |0.5 - m| in float32, as NumPy subtracts a float32 array: what ties there, ties here.
std::vector<float> distance_from_half(std::span<const float> map) {
  std::vector<float> out(map.begin(), map.end());
  for (float& m : out) m = std::abs(0.5f - m);
  return out;
}

}  // namespace

ReferenceMap::ReferenceMap(std::span<const float> map, std::int64_t size, Protocol protocol)
    : size_(size), map_(map.begin(), map.end()) {
  PEN_CHECK(static_cast<std::int64_t>(map.size()) == size * size, "sanity check: a map of ", map.size(),
            " values, expected side ", size);
  PEN_CHECK_AS(usage, size >= smallest_side(HogOptions{}), "sanity check: maps of side ", size, "; HOG needs at least ",
               smallest_side(HogOptions{}), " pixels, a larger --input_size");
  finite_ = finite(map);
  if (!finite_) return;
  if (protocol == Protocol::strict) {
    const auto [low, high] = std::minmax_element(map.begin(), map.end());
    data_range_ = static_cast<double>(*high) - static_cast<double>(*low);
  }
  ranks_ = average_ranks(map);
  abs_ranks_ = average_ranks(distance_from_half(map));
  hog_ = hog(map, size, size);
}

MapScores ReferenceMap::compare(std::span<const float> map) const {
  PEN_CHECK(map.size() == map_.size(), "sanity check: a map of ", map.size(), " values against one of ", map_.size());
  if (!finite_ || !finite(map)) {
    constexpr double undefined = std::numeric_limits<double>::quiet_NaN();
    return {undefined, undefined, undefined, undefined};
  }
  const auto ranked = [](const std::vector<double>& ranks, std::span<const float> values) {
    return pearson(std::span<const double>(ranks), std::span<const double>(average_ranks(values)));
  };
  MapScores out;
  out.spearman = ranked(ranks_, map);
  out.abs_spearman = ranked(abs_ranks_, distance_from_half(map));
  out.hog_correl = pearson(std::span<const float>(hog_), std::span<const float>(hog(map, size_, size_)));
  out.ssim = ssim(map_, map, size_, size_, {.data_range = data_range_});
  return out;
}

}  // namespace pen::eval::sanity
