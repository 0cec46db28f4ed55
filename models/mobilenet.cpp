#include "models/mobilenet.h"

namespace pen {
namespace {

constexpr double slope = 0.1;

// Channels, as multiples of the first convolution's, and strides of the separable blocks.
struct Step {
  int width, stride;
};
const std::vector<std::vector<Step>> stages{{{2, 1}, {4, 2}, {4, 1}, {8, 2}, {8, 1}},
                                            {{16, 2}, {16, 1}, {16, 1}, {16, 1}, {16, 1}, {16, 1}},
                                            {{32, 2}, {32, 1}}};

}  // namespace

MobileBlock::MobileBlock(std::int64_t in, std::int64_t out, int stride, bool separable, Rng& rng) {
  const std::int64_t middle = separable ? in : out;
  const ops::ConvOptions window{.stride = stride, .pad = 1, .groups = separable ? static_cast<int>(in) : 1};
  first_ = &make_child<Conv2d>("0", in, middle, 3, window, false, rng);
  norm1_ = &make_child<BatchNorm2d>("1", middle);
  if (!separable) return;
  second_ = &make_child<Conv2d>("3", in, out, 1, ops::ConvOptions{}, false, rng);
  norm2_ = &make_child<BatchNorm2d>("4", out);
}

Tensor MobileBlock::forward(const Tensor& x) {
  Tensor y = ops::leaky_relu(norm1_->forward(first_->forward(x)), slope);
  if (second_) y = ops::leaky_relu(norm2_->forward(second_->forward(y)), slope);
  return hooked(y);
}

FrozenSteps::Value MobileBlock::describe(FrozenSteps& steps, FrozenSteps::Value x) const {
  const FrozenSteps::Value y = steps.conv(x, *first_, norm1_, true, FrozenSteps::none, slope);
  return second_ ? steps.conv(y, *second_, norm2_, true, FrozenSteps::none, slope) : y;
}

MobileNet::MobileNet(std::int64_t base, std::int64_t classes, Rng& rng) : base_(base), classes_(classes) {
  std::int64_t in = base;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    stages_.push_back(&make_child<ModuleList<MobileBlock>>("stage" + std::to_string(s + 1)));
    if (s == 0) stages_[0]->emplace(3, base, 2, false, rng);
    for (const Step& step : stages[s]) {
      stages_[s]->emplace(in, step.width * base, step.stride, true, rng);
      in = step.width * base;
    }
  }
  fc_ = &make_child<Linear>("fc", in, classes, rng);
}

bool MobileNet::is_tap(std::size_t stage, std::size_t block) const {
  return block + 1 == stages_[stage]->size() || (stage == 0 && (block == 2 || block == 3));
}

bool MobileNet::describe(FrozenSteps& steps) const {
  FrozenSteps::Value y = steps.input();
  for (std::size_t s = 0; s < stages_.size(); ++s)
    for (std::size_t b = 0; b < stages_[s]->size(); ++b) {
      y = (*stages_[s])[b].describe(steps, y);
      if (is_tap(s, b)) steps.tap(y);
    }
  steps.linear(steps.global_avg_pool(y), *fc_);
  return true;
}

Tensor MobileNet::run(const Tensor& x, std::vector<Tensor>* taps) {
  Tensor y = entered(x);
  for (std::size_t s = 0; s < stages_.size(); ++s)
    for (std::size_t b = 0; b < stages_[s]->size(); ++b) {
      y = (*stages_[s])[b].forward(y);
      const bool last = b + 1 == stages_[s]->size();
      if (last) y = stages_[s]->finish(std::move(y));
      if (taps && is_tap(s, b)) taps->push_back(y);
    }
  return fc_->forward(ops::global_avg_pool(y));
}

ClassifierOutput MobileNet::forward(const Tensor& x) {
  ClassifierOutput out;
  out.logits = run(x, &out.taps);
  return out;
}

}  // namespace pen
