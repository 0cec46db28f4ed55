// Convolutions of 1x1 as matrix products of our own, with everything that follows them while the sums are in registers.
// oneDNN stays behind what the processor multiplies where a pass is bound by memory as well (large maps, residuals,
// strides): nobody asks for the rows that come next.
#pragma once

#include <functional>

#include "kernels/cpu/conv_plan.h"
#include "kernels/cpu/epilogue.h"

namespace pen::kernels::cpu {

// Whether this convolution and its data gradient can run so, and gain by it.
bool pointwise_suits(const Conv2d& d);

// y (N,P,Q,K) = epilogue(x * w + b); b may be null. `plain` gives w (K,C) and is asked only if no packed copy is kept.
// Each sum goes through the channels in their order, whatever the number of threads. Only where pointwise_suits.
void pointwise(const Conv2d& d, const float* x, const std::function<const void*()>& plain, const float* b,
               const Epilogue& after, float* y);

// dx (N,H,W,C) = epilogue(the data gradient of dy), also of pixels that no output read.
void pointwise_data_gradient(const Conv2d& d, const float* dy, const std::function<const void*()>& plain,
                             const Epilogue& after, float* dx);

}  // namespace pen::kernels::cpu
