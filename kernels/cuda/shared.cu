// The single-source kernels on a GPU.
#include "kernels/cuda/exec.cuh"
#include "kernels/kernels.h"
#include "kernels/shared/all.inl"

namespace pen::kernels::cuda {
namespace {

// The walks of an index space do not know which kernel they serve: its name goes in front here.
[[noreturn]] void fail_in(const char* kernel, const Error& error) {
  fail(error.kind(), std::string(kernel) + ": " + error.what(), error.hint());
}

}  // namespace

#define PEN_KERNEL(kind, name, parameters, arguments) PEN_KERNEL_##kind(name, parameters, arguments)
#define PEN_KERNEL_library(name, parameters, arguments)
#define PEN_KERNEL_shared(name, parameters, arguments) \
  void name parameters {                               \
    try {                                              \
      shared::name<Exec> arguments;                    \
    } catch (const Error& error) {                     \
      fail_in(#name, error);                           \
    }                                                  \
  }
#define real float
#include "kernels/kernels.def"
#undef real
#define real double
#include "kernels/kernels.def"
#undef real

}  // namespace pen::kernels::cuda
