#include "eval/localization.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace pen::eval {
namespace {

constexpr double epsilon = 1e-6;

std::int64_t truth_area(const Box& truth, std::int64_t size, Protocol protocol) {
  return protocol == Protocol::strict ? area(clipped(truth, size)) : area(truth);
}

double f1_of_sums(double inside, double total, double pixels) {
  const double precision = inside / (total + epsilon), recall = inside / pixels;
  return 2 * precision * recall / (precision + recall + epsilon);
}

double sum_inside(std::span<const float> mask, std::int64_t size, const Box& box) {
  const Box inside = clipped(box, size);
  double sum = 0;
  for (std::int64_t y = inside.ymin; y < inside.ymax; ++y) {
    for (std::int64_t x = inside.xmin; x < inside.xmax; ++x) sum += mask[static_cast<std::size_t>(y * size + x)];
  }
  return sum;
}

}  // namespace

double box_iou(const Box& predicted, const Box& truth, std::int64_t size, Protocol protocol) {
  const std::int64_t truth_pixels = truth_area(truth, size, protocol);
  if (truth_pixels == 0) return 0;
  const std::int64_t common = intersection(predicted, clipped(truth, size));
  return static_cast<double>(common) / static_cast<double>(area(predicted) + truth_pixels - common);
}

double Localization::best_f1() const { return *std::max_element(f1.begin(), f1.end()); }
double Localization::mean_f1() const {
  return std::accumulate(f1.begin(), f1.end(), 0.0) / static_cast<double>(f1.size());
}
double Localization::best_iou() const { return *std::max_element(iou.begin(), iou.end()); }
bool Localization::hit() const { return best_iou() > 0.5; }

Localization localize(std::span<const float> mask, const Box& predicted, std::span<const Box> truth, std::int64_t size,
                      Protocol protocol) {
  PEN_CHECK_AS(data, !truth.empty(), "an image without annotated boxes cannot be scored");
  PEN_CHECK(static_cast<std::int64_t>(mask.size()) == size * size, "mask has ", mask.size(), " values, expected ", size,
            " x ", size);
  Localization result;
  const double total = std::accumulate(mask.begin(), mask.end(), 0.0);
  for (const Box& box : truth) {
    const std::int64_t truth_pixels = truth_area(box, size, protocol);
    result.f1.push_back(
        truth_pixels == 0 ? 0 : f1_of_sums(sum_inside(mask, size, box), total, static_cast<double>(truth_pixels)));
    result.iou.push_back(box_iou(predicted, box, size, protocol));
  }
  return result;
}

Localization localize_truth(std::span<const Box> truth, std::int64_t size, Protocol protocol) {
  PEN_CHECK_AS(data, !truth.empty(), "an image without annotated boxes cannot be scored");
  Localization result;
  for (const Box& box : truth) {
    const std::int64_t truth_pixels = truth_area(box, size, protocol);
    const double inside = static_cast<double>(area(clipped(box, size)));
    result.f1.push_back(truth_pixels == 0 ? 0 : f1_of_sums(inside, inside, static_cast<double>(truth_pixels)));
    result.iou.push_back(box_iou(clipped(box, size), box, size, protocol));
  }
  return result;
}

}  // namespace pen::eval
