// Convolutions of 3x3, stride 1, by Winograd's algorithm (Lavin, Gray 2016, F(4x4,3x3)): a quarter of the
// multiplications of the sum written down. Ours: oneDNN's wants activations in blocks of 16 channels, and the passes
// that stood around it took back most of what it gained.
#pragma once

#include <functional>

#include "kernels/cpu/conv_plan.h"
#include "kernels/cpu/epilogue.h"

namespace pen::kernels::cpu {

// Whether this convolution may run so, can, and gains by it.
bool winograd_suits(const Conv2d& d);

// y (N,P,Q,K) = epilogue(x * w + b); b may be null. `plain` gives w (K,C,R,S) and is asked only if no packed copy is
// kept under `name`; transposed: it gives those of the convolution whose data gradient this is, (C,K,R,S), and w is
// their transpose turned by half a turn. Only where winograd_suits.
void winograd(const Conv2d& d, const float* x, WeightName name, const std::function<const void*()>& plain,
              bool transposed, const float* b, const Epilogue& after, float* y);

// dw (K,C,3,3) from x and dy (N,P,Q,K). Only where winograd_suits.
void winograd_weight_gradient(const Conv2d& d, const float* x, const float* dy, Accum accum, float* dw);

}  // namespace pen::kernels::cpu
