// How well a mask and its box find the annotated objects of one image.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/box.h"

namespace pen::eval {

// Intersection over union of a predicted box with an annotated box g, clipped to the frame (0..size). area(g) in the
// union is the unclipped one in the paper protocol, the clipped one in strict; 0 gives 0.
double box_iou(const Box& predicted, const Box& truth, std::int64_t size, Protocol protocol);

// One image against all of its annotated boxes.
struct Localization {
  std::vector<double> f1, iou;  // for each annotated box
  double best_f1() const;       // F1: maximum over the boxes
  double mean_f1() const;       // F1a: mean over the boxes
  double best_iou() const;
  bool hit() const;  // some box has IoU > 0.5; LE = 1 - hit, OM = 1 - hit * [the class is right]
};
// Soft F1 of a mask m (size, size) with the raster of each g, clipped to the frame: with
// precision p = sum(m g) / (sum m + 1e-6), recall r = sum(m g) / area(g): 2 p r / (p + r + 1e-6), areas as above.
// truth must not be empty. mask may lie partly outside of [0, 1] (attribution maps do); it must be finite.
Localization localize(std::span<const float> mask, const Box& predicted, std::span<const Box> truth, std::int64_t size,
                      Protocol protocol);
// The annotation scored against itself: every box is its own mask and prediction.
Localization localize_truth(std::span<const Box> truth, std::int64_t size, Protocol protocol);

}  // namespace pen::eval
