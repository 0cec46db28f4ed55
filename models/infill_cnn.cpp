#include "models/infill_cnn.h"

namespace pen {
namespace {

constexpr std::int64_t widths[] = {32, 64, 128, 256};
constexpr std::size_t levels = 4;

Conv2d& add(ModuleList<Conv2d>& list, std::int64_t in, std::int64_t out, Rng& rng) {
  Conv2d& conv = list.emplace(in, out, 3, ops::ConvOptions{.pad = 1}, true, rng);
  init::xavier_uniform(conv.weight, rng);
  return conv;
}

}  // namespace

CnnInfiller::CnnInfiller(Rng& rng) {
  std::int64_t in = 4;
  for (const std::int64_t width : widths) {
    add(down_, in, width, rng);
    in = width;
  }
  add(up_, 256, 128, rng);
  add(up_, 128 + 128, 128, rng);
  add(up_, 128 + 64, 64, rng);
  add(up_, 64 + 32, 3, rng);
  add_child("down_ls", down_);
  add_child("up_ls", up_);
}

Tensor CnnInfiller::run(const InfillerInput& input, Rng*) {
  const std::int64_t height = input.image.size(1), width = input.image.size(2);
  PEN_CHECK(height >= 16 && width >= 16, "infiller cnn: images of ", height, "x", width,
            " are too small, 16x16 is the least");
  Tensor h = ops::concat_channels({input.masked_image(), input.mask});
  std::vector<Tensor> pooled;
  for (std::size_t i = 0; i < levels; ++i) {
    h = ops::max_pool2d(ops::relu(down_[i].forward(h)), {});
    pooled.push_back(h);
  }
  for (std::size_t i = 0; i + 1 < levels; ++i) {
    const Tensor& skip = pooled[levels - 2 - i];
    h = ops::resize_bilinear(ops::relu(up_[i].forward(h)), skip.size(1), skip.size(2));
    h = ops::concat_channels({h, skip});
  }
  return ops::resize_bilinear(up_[levels - 1].forward(h), height, width);
}

}  // namespace pen
