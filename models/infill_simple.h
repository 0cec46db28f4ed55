// Infillers without weights: zeros, blur, mean colour, noise.
#pragma once

#include "models/infiller.h"

namespace pen {

// Zeros: the mean colour of the data that the normalisation comes from.
class ZeroInfiller : public Infiller {
 protected:
  Tensor run(const InfillerInput& input, Rng* draws) override;
};

// The unmasked image under a Gaussian of `sigma` pixels: separable, 4 sigma wide on each side, zeros outside, the taps'
// sum 1 (TorchRay's imsmooth with zero padding). It shows what the mask hides, blurred.
class BlurInfiller : public Infiller {
 public:
  explicit BlurInfiller(double sigma) : sigma_(sigma) {}

 protected:
  Tensor run(const InfillerInput& input, Rng* draws) override;

 private:
  double sigma_;
};

// One colour an image: the mean over what is left of it, sum of known x / sum of known; zeros where nothing is left.
class MeanColorInfiller : public Infiller {
 protected:
  Tensor run(const InfillerInput& input, Rng* draws) override;
};

// Every channel of every pixel uniform over the colours [0, 1], then normalised.
class NoiseInfiller : public Infiller {
 public:
  explicit NoiseInfiller(std::uint64_t seed) : seed_(seed) {}

 protected:
  Tensor run(const InfillerInput& input, Rng* draws) override;

 private:
  std::uint64_t seed_;
};

}  // namespace pen
