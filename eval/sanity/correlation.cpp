#include "eval/sanity/correlation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace pen::eval::sanity {
namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

template <class T>
bool finite(std::span<const T> values) {
  return std::all_of(values.begin(), values.end(), [](T v) { return std::isfinite(v); });
}

// Deviations that are rounding noise around a constant have no direction, so constants are found by comparison.
template <class T>
bool constant(std::span<const T> values) {
  return std::all_of(values.begin(), values.end(), [&](T v) { return v == values.front(); });
}

template <class T>
double mean(std::span<const T> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

template <class T>
double correlation(std::span<const T> x, std::span<const T> y) {
  PEN_CHECK(x.size() == y.size() && x.size() >= 2, "correlation: ", x.size(), " and ", y.size(),
            " values; equally many are needed, at least 2");
  if (!finite(x) || !finite(y) || constant(x) || constant(y)) return undefined;
  const double mx = mean(x), my = mean(y);
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double dx = static_cast<double>(x[i]) - mx, dy = static_cast<double>(y[i]) - my;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  // One root of the product: exactly 1 for equal lists, which a product of roots misses.
  return std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0);
}

}  // namespace

std::vector<double> average_ranks(std::span<const float> values) {
  PEN_CHECK(std::none_of(values.begin(), values.end(), [](float v) { return std::isnan(v); }),
            "ranks: a value is NaN, which has no rank");
  std::vector<std::pair<float, std::uint32_t>> order(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) order[i] = {values[i], static_cast<std::uint32_t>(i)};
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<double> ranks(values.size());
  for (std::size_t first = 0; first < order.size();) {
    std::size_t last = first;
    while (last + 1 < order.size() && order[last + 1].first == order[first].first) ++last;
    const double rank = 0.5 * static_cast<double>(first + last) + 1;
    for (; first <= last; ++first) ranks[order[first].second] = rank;
  }
  return ranks;
}

double pearson(std::span<const double> x, std::span<const double> y) { return correlation(x, y); }
double pearson(std::span<const float> x, std::span<const float> y) { return correlation(x, y); }

double spearman(std::span<const float> x, std::span<const float> y) {
  if (!finite(x) || !finite(y)) return undefined;
  return pearson(std::span<const double>(average_ranks(x)), std::span<const double>(average_ranks(y)));
}

}  // namespace pen::eval::sanity
