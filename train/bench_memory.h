// How much memory steps need, by batch size: the measurement behind `bench memory`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/types.h"
#include "train/bench_options.h"

namespace pen {

struct MemoryBenchmark {
  struct Row {
    std::string mode;
    std::int64_t batch = 0;
    std::int64_t peak_tensor_bytes = 0;  // largest sum of live tensors on the device during the steps
    std::int64_t peak_bytes = 0;  // CPU: resident memory of the process, with libraries' working memory; GPU: the same
  };
  // tensors(batch) ~ fixed_bytes + batch bytes_per_image, through the smallest and the largest batch. Only where two
  // batch sizes were measured.
  struct Mode {
    std::string mode;
    double bytes_per_image = 0, fixed_bytes = 0;
  };
  std::vector<Row> rows;
  std::vector<Mode> modes;
};

// options.warmup steps and options.steps more of each of options.modes with each of options.batches, which ascend.
MemoryBenchmark benchmark_memory(const BenchOptions& options, Device device);

}  // namespace pen
