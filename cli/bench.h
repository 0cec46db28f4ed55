// What `bench` can measure, one file each: bench_<name>.cpp measures and prints, as text or as one JSON line.
#pragma once

#include "base/json.h"
#include "kernels/types.h"
#include "train/bench_options.h"

namespace pen::cli {

void bench_step(const BenchOptions& options, Device device);
void bench_loader(const BenchOptions& options);
void bench_kernels(const BenchOptions& options, Device device);
void bench_wsol(const BenchOptions& options);
void bench_memory(const BenchOptions& options, Device device);

inline constexpr double gibibyte = 1073741824.0;

// Fields of an open object that every measurement ends with: device, threads, clock and versions.
void write_machine(JsonWriter& json, Device device);

}  // namespace pen::cli
