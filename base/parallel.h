// Data parallelism inside one process: a static partition over OpenMP's threads (the pool that oneDNN uses too, so
// that the two never compete). Pipelines (the image loader) have threads of their own.
#pragma once

#include <cstdint>
#include <functional>

namespace pen {

// Cores that this process may run on.
int available_cores();

// Number of threads that parallel_for and oneDNN use. set_threads(0) means all cores that this process may run on.
int threads();
void set_threads(int count);

// Calls body(begin, end) on disjoint pieces that cover [0, n), at least `grain` long except the last. The partition
// depends on n, grain and the thread count only. The first exception thrown by a piece is rethrown here.
void parallel_for(std::int64_t n, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& body);

}  // namespace pen
