// Convolutions to one channel, as the masker ends with: oneDNN computes 16 and drops 15 of them.
#pragma once

#include "kernels/types.h"

namespace pen::kernels::cpu {

bool single_suits(const Conv2d& d);

// y (N,P,Q) = x * w + b; b may be null. Only where single_suits, as below.
void single_forward(const Conv2d& d, const float* x, const float* w, const float* b, float* y);

// dw (1,C,R,S) from x and dy (N,P,Q)
void single_weight_gradient(const Conv2d& d, const float* x, const float* dy, Accum accum, float* dw);

}  // namespace pen::kernels::cpu
