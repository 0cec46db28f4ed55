// DFNet (Hong, Xiong, Chu, "Deep fusion network for image completion", ACM MM 2019). Its published weights are for
// non-commercial use.
#pragma once

#include "layers/basic.h"
#include "models/infiller.h"

namespace pen {

class DfnetInfiller : public Infiller {
 public:
  // strict: the network's result stands in the hole on both sides. Otherwise, as the reference's wrapper has it, it is
  // added where the mask is, which on the masked-in side is what was left of the image.
  DfnetInfiller(bool strict, Rng& rng);
  // The completed image (N,S,S,3) in [0,1] from the image with holes, in [0,1], and known (N,S,S,1), 1 = known; S is a
  // multiple of 256.
  Tensor network(const Tensor& image_missing, const Tensor& known);

 protected:
  // Runs at 256x256, with bilinear resizing (corners aligned) both ways.
  Tensor run(const InfillerInput& input, Rng* draws) override;

 private:
  class Encoder;
  class Decoder;
  class Fusion;
  bool strict_;
  std::vector<Encoder*> encoders_;
  std::vector<Decoder*> decoders_;
  std::vector<Fusion*> fusions_;
};

}  // namespace pen
