#include "eval/bootstrap.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"
#include "base/rng.h"

namespace pen::eval {

double quantile(std::span<const double> sorted, double fraction) {
  PEN_CHECK(!sorted.empty() && fraction >= 0 && fraction <= 1, "quantile ", fraction, " of ", sorted.size(), " values");
  const double position = fraction * static_cast<double>(sorted.size() - 1);
  const std::size_t below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

namespace {

void check(const BootstrapOptions& options) {
  PEN_CHECK_AS(usage, options.resamples >= 1 && options.resamples <= 1000000, "bootstrap: ", options.resamples,
               " resamples: must be 1 to 1000000");
  PEN_CHECK_AS(usage, options.level > 0 && options.level < 1, "bootstrap: level ", options.level,
               " must be between 0 and 1");
}

}  // namespace

std::vector<Interval> bootstrap(std::span<const double> rows, std::int64_t images, std::int64_t columns,
                                const BootstrapOptions& options) {
  PEN_CHECK(images > 0 && columns > 0 && static_cast<std::int64_t>(rows.size()) == images * columns,
            "bootstrap: ", rows.size(), " values, expected ", images, " images x ", columns);
  check(options);
  for (const double v : rows) PEN_CHECK(std::isfinite(v), "bootstrap: a value is not finite");

  const std::size_t k = static_cast<std::size_t>(columns);
  const std::size_t resamples = static_cast<std::size_t>(options.resamples);
  // Means of column c at means[c * resamples ..], each column in one piece for sorting.
  std::vector<double> means(k * resamples);
  parallel_for(options.resamples, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> sums(k);
    for (std::int64_t r = begin; r < end; ++r) {
      Rng rng(options.seed, static_cast<std::uint64_t>(r));
      std::fill(sums.begin(), sums.end(), 0.0);
      for (std::int64_t draw = 0; draw < images; ++draw) {
        const double* row = rows.data() + rng.below(static_cast<std::uint64_t>(images)) * k;
        for (std::size_t c = 0; c < k; ++c) sums[c] += row[c];
      }
      for (std::size_t c = 0; c < k; ++c) {
        means[c * resamples + static_cast<std::size_t>(r)] = sums[c] / static_cast<double>(images);
      }
    }
  });

  std::vector<Interval> result(k);
  for (std::size_t c = 0; c < k; ++c) {
    double sum = 0;
    for (std::int64_t i = 0; i < images; ++i) sum += rows[static_cast<std::size_t>(i) * k + c];
    const auto column = std::span(means).subspan(c * resamples, resamples);
    std::sort(column.begin(), column.end());
    const double tail = (1 - options.level) / 2;
    result[c] = {sum / static_cast<double>(images), quantile(column, tail), quantile(column, 1 - tail)};
  }
  return result;
}

Interval bootstrap_statistic(std::int64_t images, const ResampledStatistic& statistic,
                             const BootstrapOptions& options) {
  PEN_CHECK(images > 0, "bootstrap of no images");
  check(options);
  const auto n = static_cast<std::size_t>(images);
  std::vector<double> values(static_cast<std::size_t>(options.resamples));
  parallel_for(options.resamples, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int32_t> times(n);
    for (std::int64_t r = begin; r < end; ++r) {
      Rng rng(options.seed, static_cast<std::uint64_t>(r));
      std::fill(times.begin(), times.end(), 0);
      for (std::size_t draw = 0; draw < n; ++draw) ++times[rng.below(static_cast<std::uint64_t>(images))];
      values[static_cast<std::size_t>(r)] = statistic(times);
    }
  });
  const double whole = statistic(std::vector<std::int32_t>(n, 1));
  PEN_CHECK(std::isfinite(whole), "bootstrap: a value is not finite");
  for (const double v : values) PEN_CHECK(std::isfinite(v), "bootstrap: a value is not finite");
  std::sort(values.begin(), values.end());
  const double tail = (1 - options.level) / 2;
  return {whole, quantile(values, tail), quantile(values, 1 - tail)};
}

Interval bootstrap(std::span<const double> values, const BootstrapOptions& options) {
  return bootstrap(values, static_cast<std::int64_t>(values.size()), 1, options)[0];
}

}  // namespace pen::eval
