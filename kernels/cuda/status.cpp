#include "kernels/cuda/status.h"

#include <cstring>

#include "base/log.h"

namespace pen::kernels::cuda {

const char* from_root(const char* file) {
  const char* at = std::strstr(file, "kernels/cuda/");
  return at ? at : file;
}

namespace {

std::string describe(cudaError_t status, const char* expression, const char* file, int line) {
  return str(expression, ": ", cudaGetErrorString(status), " [", cudaGetErrorName(status), "] (", from_root(file), ":",
             line, ")");
}

std::string hint_for(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return "use a smaller batch or image, or free memory on the GPU";
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
      return "no usable GPU or driver: check nvidia-smi, or use --device cpu";
    default:
      return {};
  }
}

}  // namespace

void check_status(cudaError_t status, const char* expression, const char* file, int line) {
  if (status == cudaSuccess) return;
  // Read the error away, so that the next, innocent call does not report it again (sticky ones stay).
  (void)cudaGetLastError();
  fail(ErrorKind::device, describe(status, expression, file, line), hint_for(status));
}

void report_status(cudaError_t status, const char* expression, const char* file, int line) noexcept {
  // At the end of the process the driver may be gone before our static owners are.
  if (status == cudaSuccess || status == cudaErrorCudartUnloading) return;
  try {
    log::warn(describe(status, expression, file, line));
  } catch (...) {
  }
}

}  // namespace pen::kernels::cuda
