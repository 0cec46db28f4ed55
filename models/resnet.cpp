#include "models/resnet.h"

namespace pen {
namespace {

constexpr ops::PoolOptions stem_pool{.k = 3, .stride = 2, .pad = 1};

}  // namespace

ResidualBlock::Shortcut::Shortcut(std::int64_t in, std::int64_t out, int stride, Rng& rng)
    : conv(in, out, 1, {.stride = stride}, false, rng), norm(out) {
  add_child("0", conv);
  add_child("1", norm);
}

ResidualBlock::ResidualBlock(bool bottleneck, std::int64_t in, std::int64_t planes, int stride, Rng& rng)
    : bottleneck_(bottleneck),
      conv1_(in, planes, bottleneck ? 1 : 3, {.stride = bottleneck ? 1 : stride, .pad = bottleneck ? 0 : 1}, false,
             rng),
      bn1_(planes),
      conv2_(planes, planes, 3, {.stride = bottleneck ? stride : 1, .pad = 1}, false, rng),
      bn2_(planes) {
  const std::int64_t out = out_channels(bottleneck, planes);
  add_child("conv1", conv1_);
  add_child("bn1", bn1_);
  add_child("conv2", conv2_);
  add_child("bn2", bn2_);
  if (bottleneck) {
    add_child("conv3", conv3_.emplace(planes, out, 1, ops::ConvOptions{}, false, rng));
    add_child("bn3", bn3_.emplace(out));
  }
  if (stride != 1 || in != out) add_child("downsample", downsample_.emplace(in, out, stride, rng));
}

Tensor ResidualBlock::forward(const Tensor& x) {
  const Tensor shortcut = downsample_ ? downsample_->norm.forward(downsample_->conv.forward(x)) : x;
  Tensor y = bn1_.forward(conv1_.forward(x), true);
  if (!bottleneck_) return hooked(bn2_.forward(conv2_.forward(y), true, shortcut));
  y = bn2_.forward(conv2_.forward(y), true);
  return hooked(bn3_->forward(conv3_->forward(y), true, shortcut));
}

FrozenSteps::Value ResidualBlock::describe(FrozenSteps& steps, FrozenSteps::Value x) const {
  // conv1 comes before the projection, so that on the way back it is the last to reach x, and closes x's gate as part
  // of its convolution (a projection with a stride could not).
  FrozenSteps::Value y = steps.conv(x, conv1_, &bn1_, true);
  if (bottleneck_) y = steps.conv(y, conv2_, &bn2_, true);
  const FrozenSteps::Value shortcut = downsample_ ? steps.conv(x, downsample_->conv, &downsample_->norm, false) : x;
  return bottleneck_ ? steps.conv(y, *conv3_, &*bn3_, true, shortcut) : steps.conv(y, conv2_, &bn2_, true, shortcut);
}

ResNet::ResNet(const ResNetShape& shape, Rng& rng)
    : shape_(shape), conv1_(3, shape.base, 7, {.stride = 2, .pad = 3}, false, rng), bn1_(shape.base) {
  add_child("conv1", conv1_);
  add_child("bn1", bn1_);
  std::int64_t in = shape.base;
  for (std::size_t i = 0; i < 4; ++i) {
    stages_[i] = std::make_unique<ModuleList<ResidualBlock>>();
    const std::int64_t planes = shape.base << i;
    for (int b = 0; b < shape.blocks[i]; ++b) {
      stages_[i]->emplace(shape.bottleneck, in, planes, b == 0 && i > 0 ? 2 : 1, rng);
      in = ResidualBlock::out_channels(shape.bottleneck, planes);
    }
    add_child("layer" + std::to_string(i + 1), *stages_[i]);
  }
  add_child("fc", fc_.emplace(in, shape.classes, rng));
}

Tensor ResNet::stem(const Tensor& x) { return ops::max_pool2d(bn1_.forward(conv1_.forward(x), true), stem_pool); }

Tensor ResNet::run(const Tensor& x, std::vector<Tensor>* taps) {
  Tensor y = stem(entered(x));
  if (taps) taps->push_back(y);
  for (auto& stage : stages_) {
    for (std::size_t b = 0; b < stage->size(); ++b) y = (*stage)[b].forward(y);
    y = stage->finish(std::move(y));
    if (taps) taps->push_back(y);
  }
  return fc_->forward(ops::global_avg_pool(y));
}

bool ResNet::describe(FrozenSteps& steps) const {
  FrozenSteps::Value y = steps.conv(steps.input(), conv1_, &bn1_, true);
  y = steps.max_pool(y, stem_pool);
  steps.tap(y);
  for (const auto& stage : stages_) {
    for (std::size_t b = 0; b < stage->size(); ++b) y = (*stage)[b].describe(steps, y);
    steps.tap(y);
  }
  steps.linear(steps.global_avg_pool(y), *fc_);
  return true;
}

ClassifierOutput ResNet::forward(const Tensor& x) {
  ClassifierOutput out;
  out.logits = run(x, &out.taps);
  return out;
}

Tensor ResNet::logits(const Tensor& x) { return run(x, nullptr); }

std::vector<std::int64_t> ResNet::tap_widths() const {
  std::vector<std::int64_t> out{shape_.base};
  for (int i = 0; i < 4; ++i) out.push_back(ResidualBlock::out_channels(shape_.bottleneck, shape_.base << i));
  return out;
}

}  // namespace pen
