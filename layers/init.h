// Initial values of weights.
#pragma once

#include "base/rng.h"
#include "tensor/tensor.h"

namespace pen::init {

// While one lives, normal, uniform and xavier_uniform of this thread leave zeros and draw nothing: for networks whose
// weights are about to be read from a file (drawing 30 million numbers takes longer than reading them).
class Skip {
 public:
  Skip();
  ~Skip();
  Skip(const Skip&) = delete;

 private:
  bool before_;
};

// N(0, std), in the order of the elements.
void normal(Tensor& t, double std, Rng& rng);
// U(-bound, bound).
void uniform(Tensor& t, double bound, Rng& rng);
void constant(Tensor& t, double value);
// U(+-sqrt(6 / (fan_in + fan_out))) for weights (K,C,R,S) (Glorot, Bengio 2010).
void xavier_uniform(Tensor& weight, Rng& rng);

}  // namespace pen::init
