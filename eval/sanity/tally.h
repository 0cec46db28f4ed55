// What a sanity check has found: the figures of every image under every heading, and their means.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/bootstrap.h"
#include "eval/sanity/map_scores.h"

namespace pen::eval::sanity {

// One heading: a layer (of a kind of randomisation), and what its maps scored, image by image. No pixels are kept.
struct Heading {
  std::string kind;   // cascading, independent, or drt
  std::string layer;  // "normal": nothing was randomised
  std::vector<MapScores> images;
};

// One figure of a heading.
struct Mean {
  double mean = 0;                   // NaN if no image has the figure, or (see below) any image lacks it
  std::int64_t defined = 0;          // images that have it
  std::int64_t undefined = 0;        // images where it is NaN
  std::optional<Interval> interval;  // bootstrap, of those that have it
};

// The mean of figure number `metric` (MapScores::names). nan_counts: an image without the figure makes the mean NaN, as
// numpy.mean does in the reference's parameter test; otherwise it is left out and counted. Without resamples there is
// no interval.
Mean mean_of(std::span<const MapScores> images, std::size_t metric, bool nan_counts, const BootstrapOptions& options);

// The four figures of every heading. Where all images have a figure, all such figures are resampled together.
using Means = std::array<Mean, 4>;
std::vector<Means> means_of(const std::vector<Heading>& headings, bool nan_counts, const BootstrapOptions& options);

}  // namespace pen::eval::sanity
