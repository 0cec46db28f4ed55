#include "base/parallel.h"

#include <omp.h>

#include <algorithm>
#include <exception>
#include <mutex>

#include "base/check.h"

namespace pen {

// Not sched_getaffinity: with OMP_PROC_BIND the calling thread is bound to a core of its own.
int available_cores() { return omp_get_num_procs(); }

int threads() { return omp_get_max_threads(); }

void set_threads(int count) {
  PEN_CHECK_AS(usage, count >= 0 && count <= 4096, "threads: ", count, " is not between 0 (all cores) and 4096");
  if (count == 0) count = available_cores();
#if defined(__SANITIZE_THREAD__)
  count = 1;  // ThreadSanitizer does not see GNU OpenMP's barriers: every loop on several threads looks like a race
#endif
  omp_set_num_threads(std::max(count, 1));
}

void parallel_for(std::int64_t n, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (n <= 0) return;
  const std::int64_t pieces = std::clamp<std::int64_t>(n / std::max<std::int64_t>(grain, 1), 1, threads());
  if (pieces == 1 || omp_in_parallel()) {
    body(0, n);
    return;
  }
  std::exception_ptr first;
  std::mutex mutex;
#pragma omp parallel for schedule(static, 1) num_threads(static_cast <int>(pieces))
  for (std::int64_t i = 0; i < pieces; ++i) {
    try {
      body(n * i / pieces, n * (i + 1) / pieces);
    } catch (...) {
      std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace pen
