#include "models/cifar_resnet.h"

namespace pen {

CifarBlock::CifarBlock(std::int64_t in, std::int64_t planes, int stride, Rng& rng)
    : in_(in),
      planes_(planes),
      stride_(stride),
      conv1_(in, planes, 3, {.stride = stride, .pad = 1}, false, rng),
      bn1_(planes),
      conv2_(planes, planes, 3, {.pad = 1}, false, rng),
      bn2_(planes) {
  add_child("conv1", conv1_);
  add_child("bn1", bn1_);
  add_child("conv2", conv2_);
  add_child("bn2", bn2_);
}

Tensor CifarBlock::shortcut(const Tensor& x) const {
  if (stride_ == 1 && in_ == planes_) return x;
  const Tensor fewer = stride_ == 1 ? x : ops::max_pool2d(x, {.k = 1, .stride = stride_});
  const auto zeros = [&](std::int64_t channels) {
    return Tensor::zeros({fewer.size(0), fewer.size(1), fewer.size(2), channels}, x.dtype(), x.device());
  };
  const std::int64_t before = (planes_ - in_) / 2;
  return ops::concat_channels({zeros(before), fewer, zeros(planes_ - in_ - before)});
}

Tensor CifarBlock::forward(const Tensor& x) {
  const Tensor y = bn1_.forward(conv1_.forward(x), true);
  return hooked(bn2_.forward(conv2_.forward(y), true, shortcut(x)));
}

FrozenSteps::Value CifarBlock::describe(FrozenSteps& steps, FrozenSteps::Value x) const {
  // conv1 before the shortcut, as in ResidualBlock::describe.
  FrozenSteps::Value y = steps.conv(x, conv1_, &bn1_, true), shortcut = x;
  if (stride_ != 1 || in_ != planes_) {
    // Every second pixel with zero channels around: a 1x1 convolution whose weights are ones and zeros, which adds
    // nothing to a pixel but zeros.
    Rng unused(0);
    Conv2d select(in_, planes_, 1, {.stride = stride_}, false, unused);
    std::vector<double> weights(static_cast<std::size_t>(planes_ * in_), 0.0);
    const std::int64_t before = (planes_ - in_) / 2;
    for (std::int64_t c = 0; c < in_; ++c) weights[static_cast<std::size_t>((before + c) * in_ + c)] = 1;
    select.weight = Tensor::from(weights, {planes_, in_, 1, 1}).to(conv1_.weight.dtype()).to(conv1_.weight.device());
    shortcut = steps.conv(x, select, nullptr, false);
  }
  return steps.conv(y, conv2_, &bn2_, true, shortcut);
}

CifarResNet::CifarResNet(int blocks, std::int64_t base, std::int64_t classes, Rng& rng)
    : blocks_(blocks), base_(base), classes_(classes), conv1_(3, base, 3, {.pad = 1}, false, rng), bn1_(base) {
  add_child("conv1", conv1_);
  add_child("bn1", bn1_);
  std::int64_t in = base;
  for (int stage = 0; stage < 3; ++stage) {
    const std::int64_t planes = base << stage;
    stages_.push_back(&make_child<ModuleList<CifarBlock>>("layer" + std::to_string(stage + 1)));
    for (int b = 0; b < blocks; ++b) {
      stages_.back()->emplace(in, planes, b == 0 && stage > 0 ? 2 : 1, rng);
      in = planes;
    }
  }
  linear_ = &make_child<Linear>("linear", in, classes, rng);
}

std::string CifarResNet::arch() const { return "resnet" + std::to_string(6 * blocks_ + 2); }

Tensor CifarResNet::run(const Tensor& x, std::vector<Tensor>* taps) {
  Tensor y = bn1_.forward(conv1_.forward(entered(x)), true);
  if (taps) taps->push_back(y);
  for (ModuleList<CifarBlock>* stage : stages_) {
    for (std::size_t b = 0; b < stage->size(); ++b) y = (*stage)[b].forward(y);
    y = stage->finish(std::move(y));
    if (taps) taps->push_back(y);
  }
  return linear_->forward(ops::global_avg_pool(y));
}

bool CifarResNet::describe(FrozenSteps& steps) const {
  FrozenSteps::Value y = steps.conv(steps.input(), conv1_, &bn1_, true);
  steps.tap(y);
  for (const ModuleList<CifarBlock>* stage : stages_) {
    for (std::size_t b = 0; b < stage->size(); ++b) y = (*stage)[b].describe(steps, y);
    steps.tap(y);
  }
  steps.linear(steps.global_avg_pool(y), *linear_);
  return true;
}

ClassifierOutput CifarResNet::forward(const Tensor& x) {
  ClassifierOutput out;
  out.logits = run(x, &out.taps);
  return out;
}

}  // namespace pen
