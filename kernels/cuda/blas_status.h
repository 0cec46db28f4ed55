// What a cuBLAS call returned becomes an Error with the expression and the place.
#pragma once

#include <cublas_v2.h>

namespace pen::kernels::cuda {

void check_status(cublasStatus_t status, const char* expression, const char* file, int line);
void report_status(cublasStatus_t status, const char* expression, const char* file, int line) noexcept;

}  // namespace pen::kernels::cuda

#define PEN_CUBLAS(expression) ::pen::kernels::cuda::check_status((expression), #expression, __FILE__, __LINE__)
#define PEN_CUBLAS_REPORT(expression) ::pen::kernels::cuda::report_status((expression), #expression, __FILE__, __LINE__)
