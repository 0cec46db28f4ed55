// How alike two maps are: the four figures of the sanity checks (Adebayo et al., "Sanity checks for saliency maps",
// NeurIPS 2018; Phang, Park, Geras 2020, section on sanity checks).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "eval/box.h"

namespace pen::eval::sanity {

// NaN where a figure is not defined: a constant or not finite map has no correlation.
struct MapScores {
  double spearman = 0;      // rank correlation of the maps
  double abs_spearman = 0;  // of |0.5 - map|
  double hog_correl = 0;    // Pearson's correlation of their HOG descriptors
  double ssim = 0;          // structural similarity

  static constexpr std::array<std::string_view, 4> names = {"spearman", "abs_spearman", "hog_correl", "ssim"};
  std::array<double, 4> values() const { return {spearman, abs_spearman, hog_correl, ssim}; }
};

// The original map (size, size), with everything about it that is compared again and again. Sides below 48, where HOG
// has no block: a usage error.
class ReferenceMap {
 public:
  // paper: SSIM's data range is 2, scikit-image's for float images. strict: the original's largest minus its smallest
  // value, so that the figure does not depend on the maps' unit; it stays the same for all maps that are compared.
  ReferenceMap(std::span<const float> map, std::int64_t size, Protocol protocol);
  // Another map of the same size against it.
  MapScores compare(std::span<const float> map) const;

 private:
  std::int64_t size_;
  double data_range_ = 2;
  bool finite_ = true;
  std::vector<float> map_, hog_;
  std::vector<double> ranks_, abs_ranks_;
};

}  // namespace pen::eval::sanity
