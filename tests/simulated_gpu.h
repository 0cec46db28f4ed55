// What has happened on the simulated GPU (simulated_gpu.cpp) so far: for tests that bound it.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace pen::test {

inline const Device gpu{Device::Kind::cuda, 0};

struct SimulatedCounts {
  std::int64_t reads = 0;        // copies to the CPU that its caller waited for
  std::int64_t late_reads = 0;   // copies to pinned memory that nobody waited for
  std::int64_t waits = 0;        // for an event, or for everything
  std::int64_t allocations = 0;  // of the GPU's memory, and of pinned memory
  std::int64_t kernels = 0;
  std::int64_t uploads = 0;  // copies from the CPU
};
SimulatedCounts simulated_counts();

// While it lives, nothing is left: of the GPU's memory, or of memory that could be pinned.
class SimulatedShortage {
 public:
  enum class Of { device, pinned };
  explicit SimulatedShortage(Of of);
  ~SimulatedShortage();
  SimulatedShortage(const SimulatedShortage&) = delete;
  SimulatedShortage& operator=(const SimulatedShortage&) = delete;

 private:
  Of of_;
};

}  // namespace pen::test
