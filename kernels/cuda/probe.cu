// A kernel that asks one question: is there code in this build that the current GPU can run?
#include "kernels/cuda/gpu.h"

namespace pen::kernels::cuda {
namespace {
__global__ void probe() {}
}  // namespace

cudaError_t probe_kernels() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, probe);
}

}  // namespace pen::kernels::cuda
