// Residual networks for small images (He, Zhang, Ren, Sun, CVPR 2016, section 4.2): three stages of basic blocks, with
// shortcuts without weights (option A). Names as those of Yerlan Idelbayev's published CIFAR-10 weights.
#pragma once

#include "layers/basic.h"
#include "models/classifier.h"

namespace pen {

// Two 3x3 convolutions with norms. Where size or width change the shortcut takes every second pixel and adds channels
// of zeros, as many before as behind.
class CifarBlock : public Module {
 public:
  CifarBlock(std::int64_t in, std::int64_t planes, int stride, Rng& rng);
  Tensor forward(const Tensor& x);
  FrozenSteps::Value describe(FrozenSteps& steps, FrozenSteps::Value x) const;

 private:
  Tensor shortcut(const Tensor& x) const;
  std::int64_t in_, planes_;
  int stride_;
  Conv2d conv1_;
  BatchNorm2d bn1_;
  Conv2d conv2_;
  BatchNorm2d bn2_;
};

// conv1 3x3 to `base` channels, three stages of n blocks (depth 6 n + 2) with base, 2 base, 4 base channels and strides
// 1, 2, 2, global average, `linear`. Taps, at strides 1, 1, 2, 4: after the stem and after each stage.
class CifarResNet : public Classifier {
 public:
  CifarResNet(int blocks, std::int64_t base, std::int64_t classes, Rng& rng);
  ClassifierOutput forward(const Tensor& x) override;
  Tensor logits(const Tensor& x) override { return run(x, nullptr); }
  std::vector<std::int64_t> tap_widths() const override { return {base_, base_, 2 * base_, 4 * base_}; }
  std::int64_t classes() const override { return classes_; }
  std::string arch() const override;
  double width() const override { return static_cast<double>(base_) / 16; }
  bool describe(FrozenSteps& steps) const override;

 private:
  Tensor run(const Tensor& x, std::vector<Tensor>* taps);
  int blocks_;
  std::int64_t base_, classes_;
  Conv2d conv1_;
  BatchNorm2d bn1_;
  std::vector<ModuleList<CifarBlock>*> stages_;
  Linear* linear_;
};

}  // namespace pen
