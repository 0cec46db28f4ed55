// What happens to the classifier when the pixels that a map calls important go, or come: insertion and deletion
// (Petsiuk, Das, Saenko, "RISE", BMVC 2018), ROAD (Rong et al., "A consistent and efficient evaluation strategy for
// attribution methods", ICML 2022), average drop and increase (Chattopadhay et al., "Grad-CAM++", WACV 2018), average
// gain (Zhang et al., "Opti-CAM", 2023).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "eval/batch.h"

namespace pen::eval {

// Numbers of the pixels by falling importance; equal ones in raster order.
std::vector<std::int32_t> pixel_order(std::span<const double> map);

// Softmax of each row of logits (n, classes) at `target`, in double.
std::vector<double> probabilities(std::span<const float> logits, std::int64_t n, std::int64_t target);

// One image and the class that is watched.
struct Subject {
  std::span<const float> image;  // (size, size, 3), normalised
  std::int64_t size = 0;
  std::int64_t target = 0;
  const Classifier& classifier;
};

// Probabilities of the target while pixels pass from `start` to `finish` (both like the image) in `order`, the same
// number in each of `steps` steps but the last: steps + 1 values, from all of start to all of finish.
std::vector<double> causal_curve(const Subject& subject, std::span<const float> start, std::span<const float> finish,
                                 std::span<const std::int32_t> order, std::int64_t steps);
// Area under a curve of equal steps from 0 to 1, by trapezoids.
double area_under(std::span<const double> curve);

// From the image to zeros, which are the mean colour of normalised images: RISE's "black". Lower is better.
std::vector<double> deletion_curve(const Subject& subject, std::span<const std::int32_t> order, std::int64_t steps);
// From the blurred image to the image. Higher is better.
std::vector<double> insertion_curve(const Subject& subject, std::span<const std::int32_t> order, std::int64_t steps);
// RISE's blur, with zeros outside: kernel 11 and sigma 5 at size 224, both in proportion at other sizes (the kernel
// stays odd and is at least 3). The kernel is a Gaussian reflected at the kernel's own edges, as RISE makes it by
// scipy.ndimage.gaussian_filter of a single one.
std::vector<float> blurred(std::span<const float> image, std::int64_t size);
std::vector<double> blur_kernel(int length, double sigma);  // (length), one axis; sums to 1

// ROAD: the shares of pixels that are removed, most important first (morf) or least (lerf), and replaced by
// noisy_linear_imputation(). Probabilities of the target at each share, and their means. `score` is (lerf - morf) / 2.
struct Road {
  static constexpr double shares[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
  std::vector<double> morf_curve, lerf_curve;
  double morf = 0, lerf = 0;
  double score() const { return (lerf - morf) / 2; }
};
Road road(const Subject& subject, std::span<const std::int32_t> order, std::uint64_t seed, std::uint64_t stream);

// y of the whole image, o of image times map: drop max(0, y - o) / y, increase [o > y], gain max(0, o - y) / (1 - y),
// in percent. y = 0 gives no drop, y = 1 no gain.
struct Change {
  double drop = 0, increase = 0, gain = 0;
};
Change masked_change(const Subject& subject, std::span<const double> map);

}  // namespace pen::eval
