// The reference's small infilling network.
#pragma once

#include "layers/basic.h"
#include "models/infiller.h"

namespace pen {

// From the masked image and the mask (4 channels): four times 3x3 convolution, ReLU and 2x2 max pooling to 32, 64, 128
// and 256 channels; then 3x3 convolution, ReLU and bilinear upsampling by 2, joined with the pooled map of that size,
// to 128, 128 and 64 channels; last a convolution to 3 channels and an upsampling. Xavier-uniform weights, names
// down_ls.i and up_ls.i. Sizes that 16 does not divide are upsampled to the size of the map that they are joined with.
class CnnInfiller : public Infiller {
 public:
  explicit CnnInfiller(Rng& rng);
  bool can_learn() const override { return true; }

 protected:
  Tensor run(const InfillerInput& input, Rng* draws) override;

 private:
  ModuleList<Conv2d> down_, up_;
};

}  // namespace pen
