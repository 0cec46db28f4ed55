#include "eval/mask_iou.h"

#include <algorithm>

#include "base/check.h"
#include "base/parallel.h"

namespace pen::eval {
namespace {

// The number of the highest threshold that m reaches. 100 m is exact in double for a float m, and no float lies between
// k / 100 and its rounding to double, so that truncation agrees with comparing m with each threshold.
std::size_t bin_of(float m) { return static_cast<std::size_t>(static_cast<double>(m) * 100.0); }

MaskIou::Curve curve_of(std::span<const float> mask, std::span<const std::uint8_t> truth, std::size_t number) {
  std::array<std::int64_t, MaskIou::thresholds> object{}, background{};
  std::int64_t object_pixels = 0;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    PEN_CHECK_AS(data, mask[i] >= 0 && mask[i] <= 1, "mask IoU: the mask of image ", number, " holds ", mask[i],
                 ", which is not in [0, 1]");
    const bool inside = truth[i] != 0;
    ++(inside ? object : background)[bin_of(mask[i])];
    object_pixels += inside;
  }
  PEN_CHECK_AS(data, object_pixels > 0, "mask IoU: the true mask of image ", number, " is empty");
  MaskIou::Curve curve;
  std::int64_t common = 0, beyond = 0;
  for (std::size_t k = MaskIou::thresholds; k-- > 0;) {
    common += object[k];
    beyond += background[k];
    curve[k] = static_cast<double>(common) / static_cast<double>(object_pixels + beyond);
  }
  return curve;
}

std::size_t best_of(const MaskIou::Curve& curve) {
  return static_cast<std::size_t>(std::max_element(curve.begin(), curve.end()) - curve.begin());
}

}  // namespace

void MaskIou::add(std::span<const float> masks, std::span<const std::uint8_t> truths, std::int64_t n) {
  PEN_CHECK(
      n >= 1 && !masks.empty() && masks.size() == truths.size() && masks.size() % static_cast<std::size_t>(n) == 0,
      "mask IoU: ", masks.size(), " mask values and ", truths.size(), " true ones for ", n, " images");
  const std::size_t pixels = masks.size() / static_cast<std::size_t>(n), first = images_.size();
  images_.resize(first + static_cast<std::size_t>(n));
  try {
    parallel_for(n, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::size_t i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
        images_[first + i] = curve_of(masks.subspan(i * pixels, pixels), truths.subspan(i * pixels, pixels), first + i);
      }
    });
  } catch (...) {
    images_.resize(first);
    throw;
  }
}

MaskIou::Result MaskIou::result() const {
  PEN_CHECK_AS(data, !images_.empty(), "mask IoU: no images");
  Result result;
  for (const Curve& curve : images_) {
    for (std::size_t k = 0; k < thresholds; ++k) result.curve[k] += curve[k];
    const std::size_t own = best_of(curve);
    result.best.push_back(curve[own]);
    result.best_at.push_back(threshold(own));
  }
  for (double& value : result.curve) value /= static_cast<double>(images_.size());
  const std::size_t common = best_of(result.curve);
  result.threshold = threshold(common);
  result.mean = result.curve[common];
  for (const Curve& curve : images_) result.images.push_back(curve[common]);
  return result;
}

}  // namespace pen::eval
