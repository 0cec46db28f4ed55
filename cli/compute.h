// --device, --threads and their kin, put into effect.
#pragma once

#include <string>

#include "base/run_options.h"
#include "kernels/types.h"

namespace pen::cli {

// Sets the number of threads and how GPUs compute, and finds the device. No such device: a device error; a precision
// that it does not have: a usage error. frozen: whether the command runs frozen classifiers, the only ones in 16 bit.
Device open_device(const ComputeOptions& options, bool frozen = false);

// The device in words, for logs and env.json: "cpu, AMD EPYC, 2 threads", "cuda:0, NVIDIA H200, 139.8 GiB, ...".
std::string describe(Device device);

}  // namespace pen::cli
