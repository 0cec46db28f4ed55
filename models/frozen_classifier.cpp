#include "models/frozen_classifier.h"

namespace pen {
namespace {

class FrozenClassifier : public Classifier {
 public:
  FrozenClassifier(const Classifier& network, FrozenSteps steps, const FreezeOptions& options)
      : network_(std::move(steps), options),
        tap_widths_(network.tap_widths()),
        classes_(network.classes()),
        arch_(network.arch()),
        width_(network.width()) {
    // The weights are inside the plan. This stands for them where a module is asked for its device and type.
    add_buffer("weights", Tensor::empty({0}, network.dtype(), network.device()));
    eval();
  }
  ClassifierOutput forward(const Tensor& x) override {
    FrozenNetwork::Output out = network_.forward(x, true);
    return {std::move(out.logits), std::move(out.taps)};
  }
  Tensor logits(const Tensor& x) override { return network_.forward(x, false).logits; }
  bool is_frozen() const override { return true; }
  Tensor masked_logits(const Tensor& images, const Tensor& mask) override {
    return network_.masked_logits(images, mask);
  }
  MaskedAndClean masked_and_clean(const Tensor& images, const Tensor& mask, const Tensor& clean,
                                  const std::vector<bool>& taps) override {
    FrozenNetwork::MaskedAndClean out = network_.masked_and_clean(images, mask, clean, taps);
    return {std::move(out.masked), {std::move(out.clean.logits), std::move(out.clean.taps)}};
  }
  std::vector<std::int64_t> tap_widths() const override { return tap_widths_; }
  std::int64_t classes() const override { return classes_; }
  std::string arch() const override { return arch_; }
  double width() const override { return width_; }

 private:
  FrozenNetwork network_;
  std::vector<std::int64_t> tap_widths_;
  std::int64_t classes_;
  std::string arch_;
  double width_;
};

}  // namespace

std::unique_ptr<Classifier> freeze(const Classifier& network, FreezeOptions options) {
  FrozenSteps steps;
  options.inside = network.dtype() == DType::f32 ? compute_policy().frozen : DType::f32;
  if (!network.describe(steps)) {
    if (options.inside != DType::f32)
      fail(ErrorKind::usage,
           str("--precision ", precision_of(options.inside), " is for classifiers with a frozen form, and ",
               network.arch(), " has none"),
           "--precision fp32 runs it layer by layer");
    return nullptr;
  }
  return std::make_unique<FrozenClassifier>(network, std::move(steps), options);
}

}  // namespace pen
