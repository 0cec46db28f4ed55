// The saliency metric of Dabkowski and Gal ("Real Time Image Saliency for Black Box Classifiers", NeurIPS 2017): the
// predicted box is cut out and enlarged; a good box is small and still recognised.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/batch.h"
#include "eval/box.h"

namespace pen::eval {

// Cuts `box` out of an image (size, size, 3) and enlarges it to (size, size, 3) by OpenCV's INTER_CUBIC in float. The
// box is clipped to the frame first; an empty one gives zeros.
void crop_and_enlarge(std::span<const float> image, std::int64_t size, const Box& box, std::span<float> crop);

// log(clamp(area / size^2, 0.05, 1)), area of the box clipped to the frame.
double log_area(const Box& box, std::int64_t size);

// log softmax of one row of logits at `label`, by the stable formula x_label - max - log sum exp(x - max), in double.
double log_softmax(std::span<const float> logits, std::int64_t label);
// Index of the largest value, the lowest of equal ones.
std::int64_t argmax(std::span<const float> values);

// One box of one image of a batch.
struct Crop {
  std::int64_t image = 0;
  Box box;
};
struct SaliencyTerms {
  double sm1 = 0;        // log_area
  double sm2 = 0;        // log_softmax of the crop at the image's label
  bool correct = false;  // the crop's top-1 class is the label
  double sm() const { return sm1 - sm2; }
};
// The crops' images (crops.size(), S, S, 3), one after the other.
std::vector<float> enlarged_crops(const Batch& batch, std::span<const Crop> crops);
// Terms of each crop. The classifier sees at most batch.n crops at a time. first: enlarged_crops of the first batch.n
// (or all, if there are fewer), made already; empty: they are made here too.
std::vector<SaliencyTerms> saliency_terms(const Batch& batch, std::span<const Crop> crops, const Classifier& classifier,
                                          std::vector<float> first = {});

}  // namespace pen::eval
