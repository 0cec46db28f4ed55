// MobileNet v1 (Howard et al. 2017) with a width factor, with leaky ReLUs of slope 0.1 and the names of the published
// ImageNet weights of Pytorch_Retinaface (biubug6): stage1, stage2, stage3, fc.
#pragma once

#include "layers/basic.h"
#include "models/classifier.h"

namespace pen {

// A convolution with norm and activation (children 0 and 1), or a depthwise one followed by a 1x1 one (0, 1, 3, 4).
class MobileBlock : public Module {
 public:
  MobileBlock(std::int64_t in, std::int64_t out, int stride, bool separable, Rng& rng);
  Tensor forward(const Tensor& x);
  FrozenSteps::Value describe(FrozenSteps& steps, FrozenSteps::Value x) const;

 private:
  Conv2d *first_, *second_ = nullptr;
  BatchNorm2d *norm1_, *norm2_ = nullptr;
};

// Taps at strides 4, 4, 8, 16, 32: after stage1.2, stage1.3, stage1, stage2, stage3; their channels are 4, 4, 8, 16 and
// 32 times `base`.
class MobileNet : public Classifier {
 public:
  // base: channels of the first convolution, 32 at width 1.
  MobileNet(std::int64_t base, std::int64_t classes, Rng& rng);
  ClassifierOutput forward(const Tensor& x) override;
  Tensor logits(const Tensor& x) override { return run(x, nullptr); }
  std::vector<std::int64_t> tap_widths() const override {
    return {4 * base_, 4 * base_, 8 * base_, 16 * base_, 32 * base_};
  }
  std::int64_t classes() const override { return classes_; }
  bool describe(FrozenSteps& steps) const override;
  std::string arch() const override { return "mobilenet_v1"; }
  double width() const override { return static_cast<double>(base_) / 32; }

 private:
  bool is_tap(std::size_t stage, std::size_t block) const;
  Tensor run(const Tensor& x, std::vector<Tensor>* taps);
  std::int64_t base_, classes_;
  std::vector<ModuleList<MobileBlock>*> stages_;
  Linear* fc_;
};

}  // namespace pen
