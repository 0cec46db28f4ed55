// One switch per kernel, generated from the list.
#include "kernels/kernels.h"

namespace pen::kernels {

#define PEN_KERNEL_OF(kind, name, parameters, arguments)               \
  void name parameters {                                               \
    if (ctx.backend == Backend::reference) return ref::name arguments; \
    if (ctx.device.is_cuda()) return cuda::name arguments;             \
    return cpu::name arguments;                                        \
  }
#include "kernels/every_type.def"
#undef PEN_KERNEL_OF

const KernelInfo* kernel_list(std::size_t& count) {
  static const KernelInfo list[] = {
#define PEN_KERNEL(kind, name, parameters, arguments) {#name, #kind},
#define PEN_KERNEL16 PEN_KERNEL
#include "kernels/kernels.def"
#undef PEN_KERNEL
#undef PEN_KERNEL16
  };
  count = sizeof list / sizeof list[0];
  return list;
}

}  // namespace pen::kernels
