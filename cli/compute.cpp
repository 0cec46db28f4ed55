#include "cli/compute.h"

#include "base/log.h"
#include "base/parallel.h"
#include "cli/environment.h"
#include "kernels/kernels.h"
#include "tensor/memory.h"
#include "tensor/tensor.h"

namespace pen::cli {

Device open_device(const ComputeOptions& options, bool sixteen) {
  set_threads(static_cast<int>(options.threads));
  const Device device = parse_device(options.device);
  set_memory_limit(device, static_cast<std::uint64_t>(options.memory_limit * (1 << 30)));
  const bool tf32 = options.precision == "tf32";
  PEN_CHECK_AS(usage, !tf32 || device.is_cuda(), "--precision tf32 is a GPU's way to multiply, and the device is ",
               name_of(device));
  if (options.is_16_bit() && !sixteen)
    fail(ErrorKind::usage,
         "--precision " + options.precision +
             " is for classifiers that are frozen or learn; this command takes them apart",
         "train, fit-classifier, score, explain, wsol, evaluate and bench step have it");
  const DType inside = options.precision == "bf16"   ? DType::bf16
                       : options.precision == "fp16" ? DType::f16
                                                     : DType::f32;
  PEN_CHECK_AS(usage, inside != DType::bf16 || kernels::device::has_bf16(device),
               "--precision bf16: ", describe(device), " has no bfloat16 arithmetic");
  if (inside == DType::f16 && !device.is_cuda())
    log::warn("--precision fp16 on the CPU computes in float32 between conversions: slower than fp32; for speed: bf16");
  // Beside a classifier in 16 bit a GPU multiplies what stays in float32 as tf32 does, which has as many digits as
  // fp16.
  const bool rounded = tf32 || (inside != DType::f32 && device.is_cuda());
  set_compute_policy(
      {rounded ? kernels::Math::tf32 : kernels::Math::fp32, options.deterministic || !device.is_cuda(), inside});
  return device;
}

std::string describe(Device device) {
  if (device.is_cuda()) return str(name_of(device), ", ", kernels::device::cuda_description(device.index));
  return str("cpu, ", processor_name(), ", ", threads(), threads() == 1 ? " thread" : " threads");
}

}  // namespace pen::cli
