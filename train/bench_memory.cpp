#include "train/bench_memory.h"

#include "train/bench_step.h"

namespace pen {

MemoryBenchmark benchmark_memory(const BenchOptions& options, Device device) {
  MemoryBenchmark result;
  for (const std::string& mode : memory_modes(options)) {
    const std::size_t first = result.rows.size();
    for (const std::int64_t batch : options.batches) {
      BenchOptions one = options;
      one.mode = mode, one.batch_size = batch;
      const StepBenchmark step = benchmark_step(one, device);
      result.rows.push_back({mode, batch, step.peak_tensor_bytes, step.peak_bytes});
    }
    const MemoryBenchmark::Row &least = result.rows[first], &most = result.rows.back();
    if (least.batch == most.batch) continue;
    const double slope = static_cast<double>(most.peak_tensor_bytes - least.peak_tensor_bytes) /
                         static_cast<double>(most.batch - least.batch);
    result.modes.push_back(
        {mode, slope, static_cast<double>(least.peak_tensor_bytes) - slope * static_cast<double>(least.batch)});
  }
  return result;
}

}  // namespace pen
