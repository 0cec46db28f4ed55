// The data gradient of a convolution with a stride and few input channels (the first of a network). oneDNN's own has
// kernels for sixteen channels and more, and takes twice as long. The pixels of one place within the stride see the
// same part of the kernel, so all S x S places together are a forward convolution of stride 1 with S*S*C outputs, on
// weights cut apart and turned round; one pass puts its outputs side by side.
#pragma once

#include "kernels/cpu/conv_plan.h"

namespace pen::kernels::cpu {

// Whether the data gradient of this convolution may run so, and gains by it.
bool phases_suit(const Conv2d& d);

// dx (N,H,W,C), as conv2d_bwd_data. Only where phases_suit.
void data_gradient_by_phases(const Conv2d& d, const float* dy, const float* w, float* dx);

}  // namespace pen::kernels::cpu
