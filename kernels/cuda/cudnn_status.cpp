#include "kernels/cuda/cudnn_status.h"

#include "base/log.h"
#include "kernels/cuda/status.h"

namespace pen::kernels::cuda {
namespace {

std::string describe(cudnnStatus_t status, const char* expression, const char* file, int line) {
  char words[1024] = "";
  cudnnGetLastErrorString(words, sizeof words);
  return str(expression, ": ", cudnnGetErrorString(status), words[0] ? ": " : "", words, " (", from_root(file), ":",
             line, ")");
}

}  // namespace

void check_status(cudnnStatus_t status, const char* expression, const char* file, int line) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  fail(ErrorKind::device, describe(status, expression, file, line),
       "CUDNN_LOGLEVEL_DBG=3 CUDNN_LOGDEST_DBG=stderr shows what cuDNN was asked; --device cpu does without it");
}

void report_status(cudnnStatus_t status, const char* expression, const char* file, int line) noexcept {
  if (status == CUDNN_STATUS_SUCCESS) return;
  try {
    log::warn(describe(status, expression, file, line));
  } catch (...) {
  }
}

}  // namespace pen::kernels::cuda
