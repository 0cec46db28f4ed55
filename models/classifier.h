// A classifier is anything that gives logits and inner feature maps ("taps"), at most five.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "layers/frozen.h"
#include "layers/module.h"

namespace pen {

struct ClassifierOutput {
  Tensor logits;             // (N,classes)
  std::vector<Tensor> taps;  // up to five maps (N,Hi,Wi,Ci), finest first, of any strides; of the type inside
};

class Classifier : public Module {
 public:
  // x (N,S,S,3) normalised; any S that the strides leave at least one pixel of.
  virtual ClassifierOutput forward(const Tensor& x) = 0;
  // Only the logits. A network may free its taps on the way, as ResNet does (unless a gradient needs them).
  virtual Tensor logits(const Tensor& x) { return forward(x).logits; }
  // Whether its gradients are those of its input alone, made from a few bits: then a batch of twice the images costs
  // little memory.
  virtual bool is_frozen() const { return false; }
  // Logits (2N,classes) of images (N,S,S,3) masked in, then masked out, by a mask (N,S,S,1) or a coarser one (see
  // ops::mask_in), as one batch.
  virtual Tensor masked_logits(const Tensor& images, const Tensor& mask) {
    return logits(ops::concat_batch({ops::mask_in(images, mask), ops::mask_out(images, mask)}));
  }
  // masked_logits of images and mask and, in the same pass where that is faster, forward's answer to other images
  // `clean` (M,S,S,3), without history. taps: by number, which are wanted of them; the others stay undefined.
  struct MaskedAndClean {
    Tensor masked;
    ClassifierOutput clean;
  };
  virtual MaskedAndClean masked_and_clean(const Tensor& images, const Tensor& mask, const Tensor& clean,
                                          const std::vector<bool>& taps);
  virtual std::vector<std::int64_t> tap_widths() const = 0;  // channels of each tap
  virtual std::int64_t classes() const = 0;
  // bf16 or f16 (of a float32 network, learning or not): activations and their gradients from the image to the mean
  // over it, and the weights that convolutions read there, are of this type. Parameters and their gradients,
  // statistics, sums, the mean, logits and the image's gradient are float32. f32: all as the network. (A frozen copy
  // has its own: FreezeOptions::inside.)
  void set_inside(DType type) { inside_ = type; }
  DType inside() const { return inside_; }
  // Lists the steps of the evaluation-mode network, for a frozen copy; false: this kind of network has no such list.
  virtual bool describe(FrozenSteps&) const { return false; }
  virtual std::string arch() const = 0;  // with width and classes: what make_classifier builds again, "resnet50"
  virtual double width() const = 0;      // the factor of all channel counts but input and classes

 protected:
  // Images as the type inside: what a network's forward begins with.
  Tensor entered(const Tensor& x) const { return is_16_bit(inside_) ? ops::convert(x, inside_) : x; }

 private:
  DType inside_ = DType::f32;
};

struct ClassifierOptions {
  std::string arch = "resnet50";  // one of classifier_archs()
  std::int64_t classes = 1000;
  double width = 1.0;  // factor of all channel counts but input and classes
};
// The width that make_classifier builds such a network with again.
double width_factor(const Classifier& classifier);
// resnet18|34|50|101|152; for small images resnet20|32|44|56|110; mobilenet_v1.
std::vector<std::string> classifier_archs();
// A freshly initialised network. Unknown arch, width or class count: a usage error.
std::unique_ptr<Classifier> make_classifier(const ClassifierOptions& options, Rng& rng);
// A network, not initialised, that such a state belongs to: recognised by names and shapes, or of the given arch with
// width and class count from the shapes. `source` is its file, for messages. Nothing that is known: a checkpoint error.
std::unique_ptr<Classifier> classifier_for(const std::vector<NamedTensor>& state, const std::string& source,
                                           const std::string& arch = {});

}  // namespace pen
