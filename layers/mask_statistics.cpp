#include "layers/mask_statistics.h"

#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/kernels.h"

namespace pen {
namespace {

double square(double x) { return x * x; }

}  // namespace

MaskStatistics mask_statistics(std::span<const float> mask, std::int64_t height, std::int64_t width) {
  PEN_CHECK(height > 0 && width > 0 && static_cast<std::int64_t>(mask.size()) == height * width,
            "mask statistics: ", mask.size(), " values, expected ", height, " x ", width);
  // In double, so that averages over many images are not built from rounded parts.
  const std::vector<double> wide(mask.begin(), mask.end());
  double row[3];
  kernels::mask_statistics(kernels::Context{}, 1, height, width, 1, wide.data(), row);
  return {row[0], row[1], row[2]};
}

std::vector<MaskStatistics> mask_statistics(std::span<const float> masks, std::int64_t n, std::int64_t height,
                                            std::int64_t width) {
  PEN_CHECK(n >= 0 && static_cast<std::int64_t>(masks.size()) == n * height * width, "mask statistics: ", masks.size(),
            " values, expected ", n, " x ", height, " x ", width);
  std::vector<MaskStatistics> result(static_cast<std::size_t>(n));
  const std::size_t pixels = static_cast<std::size_t>(height * width);
  parallel_for(n, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      result[static_cast<std::size_t>(i)] =
          mask_statistics(masks.subspan(static_cast<std::size_t>(i) * pixels, pixels), height, width);
    }
  });
  return result;
}

BatchMaskStatistics combine(std::span<const MaskStatistics> masks) {
  BatchMaskStatistics result;
  const double n = static_cast<double>(masks.size());
  for (const MaskStatistics& m : masks) {
    result.avg += m.avg / n;
    result.entropy += m.entropy / n;
    result.tv += m.tv / n;
  }
  double squares = 0;
  for (const MaskStatistics& m : masks) squares += square(m.avg - result.avg);
  result.std = masks.size() > 1 ? std::sqrt(squares / (n - 1)) : std::numeric_limits<double>::quiet_NaN();
  return result;
}

}  // namespace pen
