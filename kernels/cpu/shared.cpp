// The single-source kernels on all threads.
#include "kernels/cpu/exec.h"
#include "kernels/kernels.h"
#include "kernels/shared/all.inl"

namespace pen::kernels::cpu {

#define PEN_KERNEL_OF(kind, name, parameters, arguments) PEN_KERNEL_##kind(name, parameters, arguments)
#define PEN_KERNEL_library(name, parameters, arguments)
#define PEN_KERNEL_tuned(name, parameters, arguments)
#define PEN_KERNEL_shared(name, parameters, arguments) \
  void name parameters { shared::name<Exec> arguments; }
#include "kernels/every_type.def"

}  // namespace pen::kernels::cpu
