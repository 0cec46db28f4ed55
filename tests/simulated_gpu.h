// What has happened on the simulated GPU (simulated_gpu.cpp) so far: for tests that bound it.
#pragma once

#include <cstdint>

namespace pen::test {

struct SimulatedCounts {
  std::int64_t reads = 0;        // copies to the CPU that its caller waited for
  std::int64_t late_reads = 0;   // copies to pinned memory that nobody waited for
  std::int64_t waits = 0;        // for an event, or for everything
  std::int64_t allocations = 0;  // of the GPU's memory, and of pinned memory
  std::int64_t kernels = 0;
};
SimulatedCounts simulated_counts();

}  // namespace pen::test
