// What a cuDNN call returned becomes an Error with the expression, cuDNN's own words and the place.
#pragma once

#include <cudnn_graph.h>

#include "base/check.h"

namespace pen::kernels::cuda {

// Throws for everything but success: "cudnnCreate(...): CUDNN_STATUS_...: what cuDNN says (kernels/cuda/...:30)".
void check_status(cudnnStatus_t status, const char* expression, const char* file, int line);
// The same where throwing is not possible: one line of the log.
void report_status(cudnnStatus_t status, const char* expression, const char* file, int line) noexcept;

}  // namespace pen::kernels::cuda

#define PEN_CUDNN(expression) ::pen::kernels::cuda::check_status((expression), #expression, __FILE__, __LINE__)
#define PEN_CUDNN_REPORT(expression) ::pen::kernels::cuda::report_status((expression), #expression, __FILE__, __LINE__)
