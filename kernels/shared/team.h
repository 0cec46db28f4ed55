// Who works on one row: a single worker here; exec.cuh has a block of threads with the same words.
//   sum(n, f)      sum of f(0) .. f(n-1) in double, in an order that depends on n alone; every member has it
//   largest(n, f)  the lowest index of the largest f(k); 0 where f(0) is NaN
//   each(n, f)     f(k) once for each k
//   first()        whether this member writes what there is one of
#pragma once

#include "base/rng.h"
#include "kernels/types.h"

namespace pen::kernels {

struct OneWorker {
  template <class F>
  PEN_HD double sum(std::int64_t n, F f) const {
    double total = 0;
    for (std::int64_t k = 0; k < n; ++k) total += f(k);
    return total;
  }
  template <class F>
  PEN_HD std::int64_t largest(std::int64_t n, F f) const {
    std::int64_t top = 0;
    for (std::int64_t k = 1; k < n; ++k)
      if (f(k) > f(top)) top = k;
    return top;
  }
  template <class F>
  PEN_HD void each(std::int64_t n, F f) const {
    for (std::int64_t k = 0; k < n; ++k) f(k);
  }
  PEN_HD bool first() const { return true; }
};

}  // namespace pen::kernels
