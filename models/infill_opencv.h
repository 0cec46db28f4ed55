// OpenCV's classical inpainting. Pixels with more than half of them removed are the hole; colours pass through bytes,
// as OpenCV works on those.
#pragma once

#include "models/infiller.h"

namespace pen {

class OpenCvInfiller : public Infiller {
 public:
  // telea: fast marching (Telea 2004). navier_stokes: Bertalmio, Bertozzi, Sapiro 2001.
  enum class Method : std::uint8_t { telea, navier_stokes };
  explicit OpenCvInfiller(Method method) : method_(method) {}

 protected:
  // Where there is no hole the image itself (as bytes); where nothing is left, zeros.
  Tensor run(const InfillerInput& input, Rng* draws) override;

 private:
  Method method_;
};

}  // namespace pen
