// --device, --threads and their kin, put into effect.
#pragma once

#include <string>

#include "base/run_options.h"
#include "kernels/types.h"

namespace pen::cli {

// Sets the number of threads and how GPUs compute, and finds the device. No such device: a device error; a precision
// that it does not have: a usage error. sixteen: whether the command runs classifiers in 16 bit, frozen or learning.
Device open_device(const ComputeOptions& options, bool sixteen = false);

// The device in words, for logs and env.json: "cpu, AMD EPYC, 2 threads", "cuda:0, NVIDIA H200, 139.8 GiB, ...".
std::string describe(Device device);

}  // namespace pen::cli
