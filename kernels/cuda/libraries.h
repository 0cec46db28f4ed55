// The handles of cuDNN and cuBLAS, one of each per GPU.
#pragma once

#include <cublas_v2.h>
#include <cudnn_graph.h>

#include <memory>
#include <mutex>
#include <string>

#include "kernels/cuda/gpu.h"

namespace pen::kernels::cuda {

struct LibraryHandles;

// The handles of a context's GPU, for the length of a call: no other thread has them meanwhile, the GPU is the current
// one, and what is called runs on the context's stream. Handles are made at first use.
class Libraries {
 public:
  explicit Libraries(const Context& ctx);
  Libraries(const Libraries&) = delete;

  cudnnHandle_t cudnn();
  // With a workspace of ours: cuBLAS gives equal bits from run to run only on one stream with one workspace that stays.
  cublasHandle_t blas();
  cudaStream_t stream() const { return stream_; }

 private:
  cudaStream_t stream_;
  LibraryHandles& handles_;
  std::lock_guard<std::mutex> lock_;
  DeviceScope scope_;
};

std::string cudnn_version();  // "cuDNN 91900", of the library that runs

}  // namespace pen::kernels::cuda
