// The generator with contextual attention (Yu et al., CVPR 2018), as its PyTorch port by daa233 names and builds it.
#pragma once

#include "layers/basic.h"
#include "models/infiller.h"

namespace pen {

class CaInfiller : public Infiller {
 public:
  // strict: the network is told the true hole, and each image's attention its own. Otherwise, as the reference has it:
  // the mask on both sides, and in the attention the first image's mask for the whole batch.
  CaInfiller(bool strict, Rng& rng);

  struct Stages {
    Tensor coarse, fine;
  };
  // image (N,H,W,3) in [-1,1], H and W multiples of 8; mask (N,H,W,1), 1 = hole. Both stages in [-1,1].
  Stages network(const Tensor& image, const Tensor& mask);

 protected:
  // Sizes that 8 does not divide are resized to the next multiple and back (bilinear, corners aligned).
  Tensor run(const InfillerInput& input, Rng* draws) override;

 private:
  class Block;
  class Coarse;
  class Fine;
  bool strict_;
  Coarse* coarse_;
  Fine* fine_;
};

}  // namespace pen
