// The twins on cuDNN and cuBLAS, declared and not yet written: each refuses by name. Generated from the list of
// kernels.
#include "kernels/kernels.h"

namespace pen::kernels::cuda {
namespace {

[[noreturn]] void not_here(const char* name, const char* library) {
  fail(ErrorKind::device, str(name, ": the ", library, " twin is not part of this build yet"), "use --device cpu");
}

template <class... Arguments>
void ignore(const Arguments&...) {}

}  // namespace

#define PEN_KERNEL(kind, name, parameters, arguments) PEN_KERNEL_##kind(name, parameters, arguments)
#define PEN_KERNEL_shared(name, parameters, arguments)
#define PEN_KERNEL_library(name, parameters, arguments)                   \
  void name parameters {                                                  \
    ignore arguments;                                                     \
    not_here(#name, std::string(#name) == "matmul" ? "cuBLAS" : "cuDNN"); \
  }
#define real float
#include "kernels/kernels.def"
#undef real
#define real double
#include "kernels/kernels.def"
#undef real

}  // namespace pen::kernels::cuda
