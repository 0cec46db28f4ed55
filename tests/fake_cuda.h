// A CUDA runtime of ordinary memory for tests of kernels/cuda that need no GPU and no driver (fake_cuda.cpp). Streams
// run when somebody waits for them and not before. A captured stream refuses, and its capture is then invalid, what
// CUDA refuses there or takes for a part of the graph, which we never mean: waiting, freeing, the driver's pool,
// events, pageable memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace pen::test {

struct FakeCuda {
  std::int64_t launched = 0, instantiated = 0, updated = 0;
  std::int64_t graphs = 0, executables = 0;  // that exist
  std::int64_t blocks = 0;                   // of device memory that exist
  std::size_t memory_left = std::size_t{1} << 40;
  bool refuse_instantiation = false;  // for want of memory
  bool refuse_update = false;         // as a driver may, of the same shape too
  std::string refused;                // what a captured stream was asked last and does not do
};
FakeCuda& fake_cuda();

}  // namespace pen::test
