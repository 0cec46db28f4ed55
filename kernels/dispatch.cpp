// One switch per kernel, generated from the list.
#include "kernels/kernels.h"

namespace pen::kernels {

#define PEN_KERNEL(kind, name, parameters, arguments)                  \
  void name parameters {                                               \
    if (ctx.backend == Backend::reference) return ref::name arguments; \
    if (ctx.device.is_cuda()) return cuda::name arguments;             \
    return cpu::name arguments;                                        \
  }
#define real float
#include "kernels/kernels.def"
#undef real
#define real double
#include "kernels/kernels.def"
#undef real
#undef PEN_KERNEL

const KernelInfo* kernel_list(std::size_t& count) {
  static const KernelInfo list[] = {
#define PEN_KERNEL(kind, name, parameters, arguments) {#name, #kind},
#include "kernels/kernels.def"
#undef PEN_KERNEL
  };
  count = sizeof list / sizeof list[0];
  return list;
}

}  // namespace pen::kernels
