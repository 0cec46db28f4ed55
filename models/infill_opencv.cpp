#include "models/infill_opencv.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/photo.hpp>

#include "base/parallel.h"

namespace pen {
namespace {

constexpr double radius = 3;  // pixels around a point that it is made of: OpenCV's own example

}  // namespace

Tensor OpenCvInfiller::run(const InfillerInput& input, Rng*) {
  const NoGrad no_grad;
  const Tensor& x = input.image;
  const std::int64_t n = x.size(0), pixels = x.size(1) * x.size(2);
  const int height = static_cast<int>(x.size(1)), width = static_cast<int>(x.size(2));
  const std::vector<float> colors = to_unit_range(x).to(DType::f32).to_vector<float>();
  const std::vector<float> hole = input.hole().to(DType::f32).to_vector<float>();
  std::vector<float> out(colors.size());
  const int flag = method_ == Method::telea ? cv::INPAINT_TELEA : cv::INPAINT_NS;
  const ImageColors normal;
  parallel_for(n, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      cv::Mat image(height, width, CV_8UC3), mask(height, width, CV_8UC1), filled;
      const float* from = colors.data() + i * pixels * 3;
      const float* missing = hole.data() + i * pixels;
      std::int64_t left = 0;
      for (std::int64_t p = 0; p < pixels; ++p) {
        const bool gone = missing[p] > 0.5f;
        left += !gone;
        mask.data[p] = gone ? 255 : 0;
        for (int c = 0; c < 3; ++c)
          image.data[p * 3 + c] =
              static_cast<std::uint8_t>(std::clamp(std::lround(from[p * 3 + c] * 255.0f), 0L, 255L));
      }
      float* to = out.data() + i * pixels * 3;
      if (left == 0) {  // there is nothing to continue from
        for (std::int64_t k = 0; k < pixels * 3; ++k)
          to[k] = static_cast<float>(normal.mean[static_cast<std::size_t>(k % 3)]);
        continue;
      }
      cv::inpaint(image, mask, filled, radius, flag);
      for (std::int64_t k = 0; k < pixels * 3; ++k) to[k] = static_cast<float>(filled.data[k]) / 255.0f;
    }
  });
  const Tensor generated = Tensor::from(out, x.shape()).to(x.dtype()).to(x.device());
  return from_unit_range(generated);
}

}  // namespace pen
