// Found in place of kernels/cuda/exec.cuh where our own CUDA kernels are compiled for plain loops
// (conv_on_fake_cudnn.cpp).
#pragma once

#include "kernels/cpu/exec.h"

namespace pen::kernels::cuda {
using cpu::Exec;
}
