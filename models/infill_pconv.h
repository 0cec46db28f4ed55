// Partial convolutions (Liu et al., "Image inpainting for irregular holes using partial convolutions", ECCV 2018).
#pragma once

#include "layers/basic.h"
#include "models/infiller.h"

namespace pen {

// A map and which of its pixels are valid: one plane stands for all channels of a source.
struct PartialMap {
  Tensor values;  // (N,H,W,C)
  Tensor valid;   // (N,H,W,1), 0 or 1
};

// Partial convolution: y = conv(x valid) / count + bias where count > 0, else 0; count is the number of valid inputs in
// the window, over all channels. The new map is valid where count > 0. With a norm and an activation behind it.
class PartialConv : public Module {
 public:
  struct Options {
    int kernel = 3, stride = 1;
    bool norm = true, bias = false;
    double slope = 0;  // of the leaky ReLU
    bool activation = true;
  };
  PartialConv(std::int64_t in, std::int64_t out, const Options& options, Rng& rng);
  // The sources are concatenated; each has its own validity.
  PartialMap forward(const std::vector<PartialMap>& sources);

 private:
  struct Convolutions : Module {
    Convolutions(std::int64_t in, std::int64_t out, const Options& options, Rng& rng);
    Tensor *weight, *bias = nullptr, *ones;
  };
  Options options_;
  Convolutions& conv_;
  BatchNorm2d* norm_;
};

class PConvInfiller : public Infiller {
 public:
  // levels: 4 to 8 (published networks have 6 and 7).
  PConvInfiller(int levels, Rng& rng);
  bool can_learn() const override { return true; }
  // The weights of mask_conv, which count valid inputs, have to be ones.
  void check_loaded(const std::string& source) override;
  // The network itself; height and width must be multiples of 2^levels.
  PartialMap network(const PartialMap& image);

 protected:
  // Pixels with more than half of them removed are the hole. Sizes that 2^levels does not divide are extended by holes.
  Tensor run(const InfillerInput& input, Rng* draws) override;

 private:
  std::vector<PartialConv*> encoder_, decoder_;  // by level - 1
};

}  // namespace pen
