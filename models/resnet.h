// ResNet (He, Zhang, Ren, Sun, CVPR 2016) with the stride of a bottleneck on its 3x3 convolution, names as
// torchvision's.
#pragma once

#include <array>
#include <optional>

#include "layers/basic.h"
#include "models/classifier.h"

namespace pen {

// The two kinds of residual block behind one interface: x + f(x), then ReLU.
class ResidualBlock : public Module {
 public:
  // basic: 3x3, 3x3. bottleneck: 1x1, 3x3 with the stride, 1x1 to 4 * planes. A projection (1x1 convolution and norm)
  // stands on the shortcut where stride or width change.
  ResidualBlock(bool bottleneck, std::int64_t in, std::int64_t planes, int stride, Rng& rng);
  Tensor forward(const Tensor& x);
  FrozenSteps::Value describe(FrozenSteps& steps, FrozenSteps::Value x) const;
  static std::int64_t out_channels(bool bottleneck, std::int64_t planes) { return bottleneck ? 4 * planes : planes; }

 private:
  struct Shortcut : Module {
    Shortcut(std::int64_t in, std::int64_t out, int stride, Rng& rng);
    Conv2d conv;
    BatchNorm2d norm;
  };
  bool bottleneck_;
  Conv2d conv1_;
  BatchNorm2d bn1_;
  Conv2d conv2_;
  BatchNorm2d bn2_;
  std::optional<Conv2d> conv3_;
  std::optional<BatchNorm2d> bn3_;
  std::optional<Shortcut> downsample_;
};

struct ResNetShape {
  bool bottleneck = true;
  std::array<int, 4> blocks{3, 4, 6, 3};
  std::int64_t classes = 1000;
  std::int64_t base = 64;  // channels after the stem
  std::string arch = "resnet50";
};

// Taps: after the max pool, and after each of the four stages.
class ResNet : public Classifier {
 public:
  ResNet(const ResNetShape& shape, Rng& rng);
  ClassifierOutput forward(const Tensor& x) override;
  Tensor logits(const Tensor& x) override;
  std::vector<std::int64_t> tap_widths() const override;
  std::int64_t classes() const override { return shape_.classes; }
  std::string arch() const override { return shape_.arch; }
  double width() const override { return static_cast<double>(shape_.base) / 64; }
  bool describe(FrozenSteps& steps) const override;
  // conv1, bn1, ReLU, max pool: the first tap.
  Tensor stem(const Tensor& x);
  ModuleList<ResidualBlock>& stage(std::size_t i) { return *stages_.at(i); }

 private:
  Tensor run(const Tensor& x, std::vector<Tensor>* taps);  // the logits; adds the taps if somebody wants them
  ResNetShape shape_;
  Conv2d conv1_;
  BatchNorm2d bn1_;
  std::array<std::unique_ptr<ModuleList<ResidualBlock>>, 4> stages_;
  std::optional<Linear> fc_;
};

}  // namespace pen
