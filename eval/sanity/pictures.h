// One picture for a heading of a sanity check: image, map, masked in, masked out; a row for each image.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/image.h"

namespace pen::eval::sanity {

// What is drawn of one batch's images.
struct Plotted {
  std::int64_t size = 0;
  std::vector<float> images;          // (n, S, S, 3), normalised
  std::vector<std::int64_t> targets;  // (n)
  std::vector<std::string> paths;     // (n)
};

// maps (n, S, S) in the form in which they are used. is_mask: values in [0, 1], shown as they are; others are shown
// from their smallest to their largest value, and weigh the pixels of "masked in" that way. The title stands below;
// each row's caption says how its map was scaled.
Image picture(const Plotted& plotted, std::span<const float> maps, bool is_mask, const std::string& title);

// Masks of two maskers side by side: image, both masks, what each keeps. The names stand above the masks.
Image picture_of_two(const Plotted& plotted, std::span<const float> first, std::span<const float> second,
                     const std::string& first_name, const std::string& second_name);

}  // namespace pen::eval::sanity
