// Two sums that one walk takes together, of one column or of some that lie side by side.
#pragma once

#include <cstdint>

#include "base/rng.h"

namespace pen::kernels {

struct TwoSums {
  double first = 0, second = 0;
  PEN_HD TwoSums& operator+=(const TwoSums& other) {
    first += other.first;
    second += other.second;
    return *this;
  }
};
PEN_HD inline TwoSums operator+(TwoSums a, const TwoSums& b) { return a += b; }

namespace shared {

// Of W columns. Eight rows are added in the wide type, which is much faster on a GPU, the sums of eight in double: in
// float each square is off by up to 2^-23 of itself, which matters where the squares are far larger than what they are
// taken for (a variance, where the first row lies hundreds of standard deviations from all others).
template <class wide, int W>
struct SumsOfColumns {
  double first[W] = {}, second[W] = {};

  // f(row, first, second) adds to W sums each, for the rows begin, begin + step, ... below end.
  template <class F>
  PEN_HD void add(const F& f, std::int64_t begin, std::int64_t end, std::int64_t step) {
    for (std::int64_t r = begin; r < end;) {
      wide a[W] = {}, b[W] = {};
      for (int i = 0; i < 8 && r < end; ++i, r += step) f(r, a, b);
      for (int l = 0; l < W; ++l) {
        first[l] += static_cast<double>(a[l]);
        second[l] += static_cast<double>(b[l]);
      }
    }
  }
  PEN_HD TwoSums of(int l) const {
    TwoSums sums;
    sums.first = first[l];
    sums.second = second[l];
    return sums;
  }
};

}  // namespace shared
}  // namespace pen::kernels
