#include "cli/compute.h"

#include "base/parallel.h"
#include "cli/environment.h"
#include "kernels/kernels.h"
#include "tensor/memory.h"

namespace pen::cli {

Device open_device(const ComputeOptions& options) {
  set_threads(static_cast<int>(options.threads));
  const Device device = parse_device(options.device);
  set_memory_limit(device, static_cast<std::uint64_t>(options.memory_limit * (1 << 30)));
  return device;
}

std::string describe(Device device) {
  if (device.is_cuda()) return str(name_of(device), ", ", kernels::device::cuda_description(device.index));
  return str("cpu, ", processor_name(), ", ", threads(), threads() == 1 ? " thread" : " threads");
}

}  // namespace pen::cli
