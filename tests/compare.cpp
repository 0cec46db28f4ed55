#include "tests/compare.h"

#include <cmath>

#include "base/check.h"

namespace pen::test {
namespace {

bool sizes_ok(std::span<const double> got, std::span<const double> want, Difference& d) {
  if (!got.empty() && got.size() == want.size()) return true;
  d.message = str("sizes: got ", got.size(), ", want ", want.size(), " (both equal and not 0)");
  return false;
}

}  // namespace

Difference compare_max(std::span<const double> got, std::span<const double> want, double tolerance, Zeros zeros) {
  Difference d;
  if (!sizes_ok(got, want, d)) return d;
  double scale = 0, worst = -1;
  std::size_t where = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    scale = std::max(scale, std::abs(want[i]));
    const double e = std::abs(got[i] - want[i]);
    if (!(e <= worst)) {  // NaN counts as worse than anything and stays
      if (std::isnan(worst)) continue;
      worst = e;
      where = i;
    }
  }
  if (scale == 0 && zeros == Zeros::refused) {
    d.message = "the reference is all zero";
    return d;
  }
  d.error = scale > 0 ? worst / scale : worst;
  d.ok = d.error <= tolerance;
  d.message = str("max error ", d.error, " (tolerance ", tolerance, "), worst at ", where, ": got ", got[where],
                  ", want ", want[where]);
  return d;
}

double relative_l2(std::span<const double> got, std::span<const double> want) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return norm > 0 ? std::sqrt(error / norm) : std::sqrt(error);
}

Difference compare_l2(std::span<const double> got, std::span<const double> want, double tolerance, Zeros zeros) {
  Difference d;
  if (!sizes_ok(got, want, d)) return d;
  bool all_zero = true;
  for (const double w : want) all_zero = all_zero && w == 0;
  if (all_zero && zeros == Zeros::refused) {
    d.message = "the reference is all zero";
    return d;
  }
  d = compare_max(got, want, tolerance, Zeros::expected);
  d.error = relative_l2(got, want);
  d.ok = d.error <= tolerance;
  d.message = str("relative L2 ", d.error, " (tolerance ", tolerance, "); ", d.message);
  return d;
}

}  // namespace pen::test
