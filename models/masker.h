// The masker: from a classifier's taps to a soft mask of the image (spec: Phang, Park, Geras 2020, figure 1B).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "layers/basic.h"

namespace pen {

enum class GumbelMode { hard, soft, sigmoid, logits };

struct MaskerOptions {
  std::vector<std::int64_t> tap_widths{64, 256, 512, 1024, 2048};
  std::vector<int> use_layers{0, 1, 2, 3, 4};  // ascending, without repeats
  bool bilinear = false;                       // the last upsampling: bilinear instead of nearest
  bool add_prob_layers = false;                // one more channel per tap: the target area p
  bool add_class_ids = false;                  // 64 more channels per tap: an embedding of the class
  std::int64_t classes = 1000;                 // rows of that embedding
  bool apply_gumbel = false;                   // binary Gumbel-softmax instead of the sigmoid
  double gumbel_tau = 0.1;                     // -1: learned, starting at 0.1
  GumbelMode gumbel_mode = GumbelMode::hard;
};

struct MaskerInput {
  std::vector<Tensor> taps;  // of the classifier, detached
  std::int64_t height = 224, width = 224;
  Tensor p;                 // (N) target areas, with add_prob_layers
  Tensor class_ids;         // (N, i64), with add_class_ids
  bool no_sigmoid = false;  // the upsampled logits instead of the mask
};

class Masker : public Module {
 public:
  Masker(const MaskerOptions& options, Rng& rng);
  // (N,height,width,1), in [0,1] unless logits were asked for. `noise` gives Gumbel noise its draws (training only).
  Tensor forward(const MaskerInput& input, Rng* noise = nullptr);
  // The same without repetitions: where forward() would only repeat each value s x s times (nearest, a whole s, no hook
  // that wants its result), those values, (N,height/s,width/s,1). s is 4 of a ResNet.
  Tensor forward_coarse(const MaskerInput& input, Rng* noise = nullptr);
  // Whether it reads tap i: its values or, of the finest, at least its size.
  bool reads_tap(std::size_t i) const;
  const MaskerOptions& options() const { return options_; }

 private:
  struct Reduce : Module {  // conv1x1_i: to 64 channels, norm, ReLU
    Reduce(std::int64_t in, Rng& rng);
    Conv2d conv;
    BatchNorm2d norm;
  };
  struct Final : Module {
    Final(std::int64_t in, const MaskerOptions& options, Rng& rng);
    Conv2d conv;
    Tensor* tau = nullptr;  // a parameter when learned
  };
  struct ClassModule : Module {
    ClassModule(std::int64_t classes, Rng& rng);
    Embedding embedding;
  };
  Tensor with_conditions(const Tensor& tap, const MaskerInput& input);
  Tensor draw(const MaskerInput& input, Rng* noise);  // at the finest tap's size
  Tensor binarize(const Tensor& logits, Rng* noise);
  bool reduces(int layer) const { return layer > 0 || options_.use_layers.size() == 1; }

  MaskerOptions options_;
  std::vector<std::unique_ptr<Reduce>> reduce_;  // by tap; null where the tap is not reduced
  std::optional<Final> final_;
  std::optional<ClassModule> class_module_;
};

// "3,4" -> {3, 4}: ascending taps 0..4 without repeats, else a usage error.
std::vector<int> parse_use_layers(const std::string& text);
GumbelMode parse_gumbel_mode(const std::string& text);

}  // namespace pen
