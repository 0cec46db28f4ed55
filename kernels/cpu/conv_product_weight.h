// Gradients of a convolution's weights as products of our own: 1x1, and 3x3 that Winograd's algorithm does not take
// (strides). oneDNN's reach half of what the processor multiplies where maps are large or strided.
#pragma once

#include "kernels/types.h"

namespace pen::kernels::cpu {

// Whether this convolution's weights' gradient can run so, and gains by it.
bool product_weight_suits(const Conv2d& d);

// dw (K,C,R,S) from x (N,H,W,C) and dy (N,P,Q,K). Each sum over outputs is made in pieces of one length, one after the
// other, whatever the number of threads. Only where product_weight_suits.
void product_weight_gradient(const Conv2d& d, const float* x, const float* dy, Accum accum, float* dw);

}  // namespace pen::kernels::cpu
