// What a map says by itself and against the annotated object: pointing game (Zhang et al., "Top-down Neural Attention
// by Excitation Backprop", IJCV 2018), energy-based pointing game (Wang et al., "Score-CAM", CVPR-W 2020), sparseness
// (Chalasani et al., "Concise Explanations of Neural Networks using Adversarial Training", ICML 2020).
#pragma once

#include <cstdint>
#include <span>

namespace pen::eval {

// The share of the map's largest pixels that lie on the object (non-zero in `object`) or within `tolerance` pixels of
// it: 0 or 1 where the largest pixel is unique, the chance of a random choice among equal ones. An object without
// pixels: 0.
double pointing_game(std::span<const double> map, std::span<const std::uint8_t> object, std::int64_t size,
                     double tolerance);
// The reference's 15 pixels at size 224, in proportion at others.
double pointing_tolerance(std::int64_t size);

// The share of the map's sum that lies on the object; 0 for a map of sum 0. Values must not be negative.
double energy_pointing_game(std::span<const double> map, std::span<const std::uint8_t> object);

// The Gini index of the map's absolute values: 0 if all are equal (or zero), towards 1 if one has everything.
double sparseness(std::span<const double> map);

}  // namespace pen::eval
