// Classifiers small enough to work out by hand what every attribution method must answer.
#pragma once

#include <memory>
#include <vector>

#include "layers/basic.h"
#include "models/classifier.h"

namespace pen::test {

// Images (N,S,S,3) -> features: a 1x1 convolution to K maps (no bias) and a ReLU -> logits. The head either averages
// the maps and applies a linear layer `fc` (as a ResNet does), or weighs every pixel of every map by itself.
class ToyClassifier : public Classifier {
 public:
  // features (K,3); head (classes,K), or (classes,K,S,S) for one weight a pixel; both row-major.
  ToyClassifier(std::int64_t size, std::int64_t maps, std::int64_t classes, const std::vector<double>& features,
                const std::vector<double>& head, DType type = DType::f64)
      : size_(size),
        classes_(classes),
        pooled_(static_cast<std::int64_t>(head.size()) == classes * maps),
        rng_(1),
        features_(3, maps, 1, {}, false, rng_),
        relu_(),
        pixels_(maps, pooled_ ? 1 : classes, pooled_ ? 1 : static_cast<int>(size), {}, false, rng_),
        fc_(maps, classes, rng_) {
    add_child("features", features_);
    add_child("relu", relu_);
    add_child(pooled_ ? "fc" : "head", pooled_ ? static_cast<Module&>(fc_) : pixels_);
    to(type);
    const auto fill = [&](Tensor& t, const std::vector<double>& v) {
      t.copy_from(Tensor::from(v, t.shape()).to(type));
    };
    fill(features_.weight, features);
    if (pooled_) {
      fill(fc_.weight, head);
      fill(fc_.bias, std::vector<double>(static_cast<std::size_t>(classes), 0.25));
    } else {
      fill(pixels_.weight, head);
    }
    set_requires_grad(false);
    eval();
  }

  ClassifierOutput forward(const Tensor& x) override {
    const Tensor maps = relu_.forward(features_.forward(x));
    if (pooled_) return {fc_.forward(ops::global_avg_pool(maps)), {}};
    return {ops::reshape(pixels_.forward(maps), {x.size(0), classes_}), {}};
  }
  std::vector<std::int64_t> tap_widths() const override { return {}; }
  std::int64_t classes() const override { return classes_; }
  std::string arch() const override { return "toy"; }
  double width() const override { return 1; }

 private:
  struct Relu : Module {
    Tensor forward(const Tensor& x) { return hooked(ops::relu(x)); }
  };
  std::int64_t size_, classes_;
  bool pooled_;
  Rng rng_;
  Conv2d features_;
  Relu relu_;
  Conv2d pixels_;
  Linear fc_;
};

}  // namespace pen::test
