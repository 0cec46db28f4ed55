#include "eval/masks.h"

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "base/check.h"
#include "eval/opencv_threads.h"

namespace pen::eval {
namespace {

// A view, not a copy. OpenCV has no read-only matrix; sources are not written by the calls below.
cv::Mat view(std::span<const std::uint8_t> binary, std::int64_t height, std::int64_t width) {
  PEN_CHECK(height > 0 && width > 0 && height <= 1 << 15 && width <= 1 << 15, "mask of ", height, " x ", width,
            " pixels: each side must be 1 to 32768");
  PEN_CHECK(static_cast<std::int64_t>(binary.size()) == height * width, "mask has ", binary.size(),
            " values, expected ", height, " x ", width);
  return cv::Mat(static_cast<int>(height), static_cast<int>(width), CV_8U, const_cast<std::uint8_t*>(binary.data()));
}

const cv::Mat& cross() {
  static const cv::Mat kernel = cv::getStructuringElement(cv::MORPH_CROSS, {3, 3});
  return kernel;
}

}  // namespace

float mask_mean(std::span<const float> mask) {
  PEN_CHECK(!mask.empty(), "mean of an empty mask");
  double sum = 0;
  for (const float m : mask) sum += m;
  return static_cast<float>(sum / static_cast<double>(mask.size()));
}

void binarise(std::span<const float> mask, std::span<std::uint8_t> binary) {
  PEN_CHECK(mask.size() == binary.size(), "binarise: ", mask.size(), " values into ", binary.size());
  const float mean = mask_mean(mask);
  for (std::size_t i = 0; i < mask.size(); ++i) binary[i] = mask[i] > mean;
}

std::vector<std::uint8_t> binarise(std::span<const float> mask) {
  std::vector<std::uint8_t> binary(mask.size());
  binarise(mask, binary);
  return binary;
}

void erode(std::span<std::uint8_t> binary, std::int64_t height, std::int64_t width, int iterations) {
  PEN_CHECK_AS(usage, iterations >= 0, "erosion by ", iterations, ": must not be negative");
  if (iterations == 0) return;
  keep_opencv_single_threaded();
  // The default border value of OpenCV's erosion is the largest one: outside counts as set.
  cv::Mat image = view(binary, height, width);
  cv::erode(image, image, cross(), {-1, -1}, iterations, cv::BORDER_CONSTANT, cv::morphologyDefaultBorderValue());
}

void dilate(std::span<std::uint8_t> binary, std::int64_t height, std::int64_t width, int iterations) {
  PEN_CHECK_AS(usage, iterations >= 0, "dilation by ", iterations, ": must not be negative");
  if (iterations == 0) return;
  keep_opencv_single_threaded();
  cv::Mat image = view(binary, height, width);
  cv::dilate(image, image, cross(), {-1, -1}, iterations, cv::BORDER_CONSTANT, cv::morphologyDefaultBorderValue());
}

Component largest_component(std::span<const std::uint8_t> binary, std::int64_t height, std::int64_t width) {
  keep_opencv_single_threaded();
  cv::Mat labels, stats, centroids;
  // SAUF numbers the components in raster order of their first pixel, so that `>` keeps the first of equal ones.
  const int count =
      cv::connectedComponentsWithStats(view(binary, height, width), labels, stats, centroids, 4, CV_32S, cv::CCL_SAUF);
  Component best;
  for (int label = 1; label < count; ++label) {
    const int pixels = stats.at<int>(label, cv::CC_STAT_AREA);
    if (pixels <= best.pixels) continue;
    const int x = stats.at<int>(label, cv::CC_STAT_LEFT), y = stats.at<int>(label, cv::CC_STAT_TOP);
    best = {pixels, {x, y, x + stats.at<int>(label, cv::CC_STAT_WIDTH), y + stats.at<int>(label, cv::CC_STAT_HEIGHT)}};
  }
  return best;
}

Box predicted_box(std::span<std::uint8_t> binary, std::int64_t size, const BoxOptions& options) {
  erode(binary, size, size, options.erode);
  dilate(binary, size, size, options.dilate);
  const Component component = largest_component(binary, size, size);
  if (options.protocol == Protocol::strict) return component.pixels ? component.box : Box{0, 0, size, size};
  if (component.pixels == 0) return {};
  Box box = component.box;
  --box.xmax;
  --box.ymax;
  return box;
}

}  // namespace pen::eval
