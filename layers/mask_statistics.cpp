#include "layers/mask_statistics.h"

#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/parallel.h"

namespace pen {
namespace {

double square(double x) { return x * x; }

}  // namespace

MaskStatistics mask_statistics(std::span<const float> mask, std::int64_t height, std::int64_t width) {
  PEN_CHECK(height > 0 && width > 0 && static_cast<std::int64_t>(mask.size()) == height * width,
            "mask statistics: ", mask.size(), " values, expected ", height, " x ", width);
  double sum = 0, entropy = 0, across = 0, down = 0;
  for (std::int64_t y = 0; y < height; ++y) {
    const float* row = mask.data() + y * width;
    for (std::int64_t x = 0; x < width; ++x) {
      const double m = row[x];
      sum += m;
      if (m > 0 && m < 1) entropy -= m * std::log2(m);
      if (x > 0) across += square(m - row[x - 1]);
      if (y > 0) down += square(m - row[x - width]);
    }
  }
  const double pixels = static_cast<double>(height * width);
  MaskStatistics result;
  result.avg = sum / pixels;
  result.entropy = entropy / pixels;
  if (width > 1) result.tv += across / static_cast<double>(height * (width - 1));
  if (height > 1) result.tv += down / static_cast<double>((height - 1) * width);
  return result;
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
