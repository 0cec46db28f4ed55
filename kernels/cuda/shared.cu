// The single-source kernels on a GPU.
#include "kernels/cuda/exec.cuh"
#include "kernels/cuda/named.h"
#include "kernels/kernels.h"
#include "kernels/shared/all.inl"

namespace pen::kernels::cuda {
#define PEN_KERNEL_OF(kind, name, parameters, arguments) PEN_KERNEL_##kind(name, parameters, arguments)
#define PEN_KERNEL_library(name, parameters, arguments)
#define PEN_KERNEL_shared(name, parameters, arguments)   \
  void name parameters {                                 \
    named(#name, [&] { shared::name<Exec> arguments; }); \
  }
#define PEN_KERNEL_tuned PEN_KERNEL_shared
#include "kernels/every_type.def"

}  // namespace pen::kernels::cuda
