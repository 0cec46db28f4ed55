// The single-source kernels as plain loops.
#include "kernels/kernels.h"
#include "kernels/ref/exec.h"
#include "kernels/shared/all.inl"

namespace pen::kernels::ref {

#define PEN_KERNEL_OF(kind, name, parameters, arguments) PEN_KERNEL_##kind(name, parameters, arguments)
#define PEN_KERNEL_library(name, parameters, arguments)
#define PEN_KERNEL_shared(name, parameters, arguments) \
  void name parameters { shared::name<Exec> arguments; }
#define PEN_KERNEL_tuned PEN_KERNEL_shared
#include "kernels/every_type.def"

}  // namespace pen::kernels::ref
