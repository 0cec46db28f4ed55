#include "kernels/cuda/blas_status.h"

#include "base/log.h"
#include "kernels/cuda/status.h"

namespace pen::kernels::cuda {
namespace {

std::string describe(cublasStatus_t status, const char* expression, const char* file, int line) {
  return str(expression, ": ", cublasGetStatusString(status), " [", cublasGetStatusName(status), "] (", from_root(file),
             ":", line, ")");
}

}  // namespace

void check_status(cublasStatus_t status, const char* expression, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(ErrorKind::device, describe(status, expression, file, line),
       status == CUBLAS_STATUS_ALLOC_FAILED ? "use a smaller batch or image, or free memory on the GPU"
                                            : "--device cpu does without cuBLAS");
}

void report_status(cublasStatus_t status, const char* expression, const char* file, int line) noexcept {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  try {
    log::warn(describe(status, expression, file, line));
  } catch (...) {
  }
}

}  // namespace pen::kernels::cuda
