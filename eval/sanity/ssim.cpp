#include "eval/sanity/ssim.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"

namespace pen::eval::sanity {
namespace {

using Plane = std::vector<float>;

// Means over `size` neighbours along one line of `n` values that lie `stride` apart, in place. As
// scipy.ndimage.uniform_filter1d has it: the line reflected at its ends (d c b a | a b c d), a running sum in double.
void mean_along(float* line, std::int64_t n, std::int64_t stride, int size, std::vector<double>& padded) {
  const std::int64_t half = size / 2;
  padded.resize(static_cast<std::size_t>(n + 2 * half));
  for (std::int64_t i = -half; i < n + half; ++i) {
    const std::int64_t from = i < 0 ? -i - 1 : i >= n ? 2 * n - 1 - i : i;
    padded[static_cast<std::size_t>(i + half)] = static_cast<double>(line[from * stride]);
  }
  double sum = 0;
  for (int i = 0; i < size; ++i) sum += padded[static_cast<std::size_t>(i)];
  line[0] = static_cast<float>(sum / size);
  for (std::int64_t i = 1; i < n; ++i) {
    sum += padded[static_cast<std::size_t>(i + size - 1)] - padded[static_cast<std::size_t>(i - 1)];
    line[i * stride] = static_cast<float>(sum / size);
  }
}

Plane filtered(Plane plane, std::int64_t height, std::int64_t width, int size) {
  std::vector<double> padded;
  for (std::int64_t x = 0; x < width; ++x) mean_along(plane.data() + x, height, width, size, padded);
  for (std::int64_t y = 0; y < height; ++y) mean_along(plane.data() + y * width, width, 1, size, padded);
  return plane;
}

Plane product(std::span<const float> a, std::span<const float> b) {
  Plane out(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) out[i] = a[i] * b[i];
  return out;
}

}  // namespace

double ssim(std::span<const float> a, std::span<const float> b, std::int64_t height, std::int64_t width,
            const SsimOptions& o) {
  PEN_CHECK(o.window >= 3 && o.window % 2 == 1, "ssim: a window of ", o.window, "; it has to be odd, at least 3");
  PEN_CHECK(a.size() == b.size() && static_cast<std::int64_t>(a.size()) == height * width, "ssim: maps of ", a.size(),
            " and ", b.size(), " values for ", height, "x", width);
  PEN_CHECK(std::min(height, width) >= o.window, "ssim: a map of ", height, "x", width, " is smaller than its window, ",
            o.window);
  const auto filter = [&](Plane plane) { return filtered(std::move(plane), height, width, o.window); };
  const Plane ma = filter({a.begin(), a.end()}), mb = filter({b.begin(), b.end()});
  const Plane aa = filter(product(a, a)), bb = filter(product(b, b)), ab = filter(product(a, b));

  // NumPy keeps float32 where a Python number meets a float32 array.
  const double n = static_cast<double>(o.window) * o.window;
  const auto sample = static_cast<float>(n / (n - 1));
  const auto c1 = static_cast<float>(0.01 * o.data_range * (0.01 * o.data_range));
  const auto c2 = static_cast<float>(0.03 * o.data_range * (0.03 * o.data_range));
  const std::int64_t edge = o.window / 2;
  double sum = 0;
  for (std::int64_t y = edge; y < height - edge; ++y) {
    for (std::int64_t x = edge; x < width - edge; ++x) {
      const auto i = static_cast<std::size_t>(y * width + x);
      const float saa = sample * (aa[i] - ma[i] * ma[i]), sbb = sample * (bb[i] - mb[i] * mb[i]);
      const float sab = sample * (ab[i] - ma[i] * mb[i]);
      const float above = (2.0f * ma[i] * mb[i] + c1) * (2.0f * sab + c2);
      const float below = (ma[i] * ma[i] + mb[i] * mb[i] + c1) * (saa + sbb + c2);
      sum += static_cast<double>(above / below);
    }
  }
  return sum / static_cast<double>((height - 2 * edge) * (width - 2 * edge));
}

}  // namespace pen::eval::sanity
