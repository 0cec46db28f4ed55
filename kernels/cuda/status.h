// What a CUDA call returned becomes an Error with the expression and the place.
#pragma once

#include <cuda_runtime_api.h>

#include "base/check.h"

namespace pen::kernels::cuda {

// Throws for everything but cudaSuccess: "cudaMallocAsync(...): out of memory (kernels/cuda/memory.cpp:30)".
void check_status(cudaError_t status, const char* expression, const char* file, int line);
// The same where throwing is not possible (destructors, noexcept functions): one line of the log.
void report_status(cudaError_t status, const char* expression, const char* file, int line) noexcept;

// A source file's path from the root of the sources, whatever folder it was compiled in.
const char* from_root(const char* file);

}  // namespace pen::kernels::cuda

#define PEN_CUDA(expression) ::pen::kernels::cuda::check_status((expression), #expression, __FILE__, __LINE__)
#define PEN_CUDA_REPORT(expression) ::pen::kernels::cuda::report_status((expression), #expression, __FILE__, __LINE__)
