// Bootstrap intervals, mask IoU at a common threshold, mask statistics.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "eval/bootstrap.h"
#include "eval/mask_iou.h"
#include "layers/mask_statistics.h"

using namespace pen;
using namespace pen::eval;

TEST_CASE("quantiles interpolate as numpy.percentile does") {
  const std::vector<double> v = {1, 2, 4, 8};
  CHECK(quantile(v, 0) == 1);
  CHECK(quantile(v, 1) == 8);
  CHECK(quantile(v, 0.5) == 3);
  CHECK(quantile(v, 0.25) == doctest::Approx(1.75));
  CHECK(quantile(std::vector<double>{7}, 0.3) == 7);
}

TEST_CASE("the interval covers the mean of a known distribution about as often as it says") {
  // Uniform on [0, 1): mean 1/2, standard deviation 1/sqrt(12).
  Rng rng(5);
  const int trials = 400, n = 80;
  int covered = 0;
  double width = 0;
  for (int trial = 0; trial < trials; ++trial) {
    std::vector<double> values(n);
    for (double& v : values) v = rng.uniform();
    const Interval i = bootstrap(values, {300, 0.9, static_cast<std::uint64_t>(trial)});
    covered += i.low <= 0.5 && 0.5 <= i.high;
    width += (i.high - i.low) / trials;
    CHECK(i.low <= i.mean);
    CHECK(i.mean <= i.high);
  }
  // 90% of 400 with three standard deviations of a binomial count, and a little for the percentile method's bias
  CHECK(covered > 335);
  CHECK(covered < 384);
  CHECK(width == doctest::Approx(2 * 1.645 / std::sqrt(12.0 * n)).epsilon(0.05));
}

TEST_CASE("the interval depends on data and options alone") {
  Rng rng(6);
  std::vector<double> rows(3 * 50);
  for (double& v : rows) v = rng.normal();
  const int before = threads();
  set_threads(1);
  const auto one = bootstrap(rows, 50, 3, {200, 0.95, 9});
  set_threads(3);
  const auto three = bootstrap(rows, 50, 3, {200, 0.95, 9});
  set_threads(before);
  const auto other = bootstrap(rows, 50, 3, {200, 0.95, 10});
  for (std::size_t c = 0; c < 3; ++c) {
    CHECK(one[c].low == three[c].low);
    CHECK(one[c].high == three[c].high);
    CHECK(one[c].low != other[c].low);
    // A column by itself is resampled in the same way.
    std::vector<double> column;
    for (std::size_t i = 0; i < 50; ++i) column.push_back(rows[3 * i + c]);
    CHECK(bootstrap(column, {200, 0.95, 9}).low == one[c].low);
  }
}

TEST_CASE("bootstrap refuses what has no interval") {
  const std::vector<double> none, bad = {1, std::nan("")}, good = {1, 1, 1};
  CHECK_THROWS_AS(bootstrap(none), Error);
  CHECK_THROWS_AS(bootstrap(bad), Error);
  CHECK_THROWS_AS(bootstrap(good, {0, 0.95, 0}), Error);
  CHECK_THROWS_AS(bootstrap(good, {10, 1.0, 0}), Error);
  const Interval constant = bootstrap(good);
  CHECK(constant.low == 1);
  CHECK(constant.high == 1);
}

TEST_CASE("mask IoU equals its definition at every threshold") {
  Rng rng(7);
  const std::size_t n = 5, pixels = 37;
  std::vector<float> masks(n * pixels);
  std::vector<std::uint8_t> truths(n * pixels);
  for (std::size_t i = 0; i < masks.size(); ++i) {
    // Half of the values lie on a threshold or on the next float beside one.
    const double t = static_cast<double>(rng.below(101)) / 100.0;
    float v = static_cast<float>(rng.bernoulli(0.5) ? t : rng.uniform());
    if (rng.bernoulli(0.2)) v = std::nextafter(v, rng.bernoulli(0.5) ? 2.0f : -1.0f);
    masks[i] = std::clamp(v, 0.0f, 1.0f);
    truths[i] = rng.bernoulli(0.4) ? 255 : 0;
  }
  for (std::size_t i = 0; i < n; ++i) truths[i * pixels] = 1;
  MaskIou iou;
  iou.add(std::span(masks).first(2 * pixels), std::span(truths).first(2 * pixels), 2);
  iou.add(std::span(masks).subspan(2 * pixels), std::span(truths).subspan(2 * pixels), 3);
  const MaskIou::Result result = iou.result();

  double best = -1;
  std::size_t best_k = 0;
  for (std::size_t k = 0; k <= 100; ++k) {
    double mean = 0;
    for (std::size_t i = 0; i < n; ++i) {
      double common = 0, united = 0;
      for (std::size_t p = 0; p < pixels; ++p) {
        const bool predicted = static_cast<double>(masks[i * pixels + p]) >= static_cast<double>(k) / 100.0;
        const bool inside = truths[i * pixels + p] != 0;
        common += predicted && inside;
        united += predicted || inside;
      }
      mean += common / united / n;
    }
    CHECK(result.curve[k] == doctest::Approx(mean).epsilon(1e-12));
    if (mean > best + 1e-12) {
      best = mean;
      best_k = k;
    }
  }
  CHECK(result.mean == doctest::Approx(best).epsilon(1e-12));
  CHECK(result.threshold == static_cast<double>(best_k) / 100);
  double mean_of_images = 0;
  for (std::size_t i = 0; i < n; ++i) {
    mean_of_images += result.images[i] / n;
    CHECK(result.best[i] >= result.images[i]);
  }
  CHECK(mean_of_images == doctest::Approx(result.mean).epsilon(1e-12));
}

TEST_CASE("mask IoU of a perfect mask is 1, and bad input is named") {
  const std::vector<float> mask = {0.9f, 0.8f, 0.1f, 0.0f};
  const std::vector<std::uint8_t> truth = {1, 1, 0, 0}, empty(4, 0);
  MaskIou iou;
  CHECK_THROWS_AS(iou.result(), Error);
  iou.add(mask, truth, 1);
  CHECK(iou.result().mean == 1);
  CHECK(iou.result().threshold == doctest::Approx(0.11));
  for (const float bad : {-0.1f, 1.1f, std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> other = mask;
    other[2] = bad;
    CHECK_THROWS_WITH_AS(iou.add(other, truth, 1), doctest::Contains("image 1"), Error);
  }
  CHECK_THROWS_AS(iou.add(mask, empty, 1), Error);
  CHECK(iou.result().images.size() == 1);  // nothing of the refused ones stays
}

TEST_CASE("mask statistics by hand") {
  // 2 x 3: entropy of 0.5 is 0.5 bits; 0 and 1 have none.
  const std::vector<float> m = {0, 0.5f, 1, 1, 0.5f, 0};
  const MaskStatistics s = mask_statistics(m, 2, 3);
  CHECK(s.avg == doctest::Approx(0.5));
  CHECK(s.entropy == doctest::Approx(2 * 0.5 / 6));
  CHECK(s.tv == doctest::Approx(4 * 0.25 / 4 + (1 + 0 + 1) / 3.0));
  const std::vector<float> one = {0.25f};
  CHECK(mask_statistics(one, 1, 1).tv == 0);
  CHECK(mask_statistics(one, 1, 1).entropy == doctest::Approx(0.5));

  const std::vector<MaskStatistics> batch = {{0.2, 0, 0}, {0.4, 0.1, 1}, {0.9, 0.2, 2}};
  const BatchMaskStatistics b = combine(batch);
  CHECK(b.avg == doctest::Approx(0.5));
  CHECK(b.std == doctest::Approx(std::sqrt((0.09 + 0.01 + 0.16) / 2)));
  CHECK(b.entropy == doctest::Approx(0.1));
  CHECK(b.tv == doctest::Approx(1));
  CHECK(std::isnan(combine(std::span(batch).first(1)).std));
  CHECK_THROWS_AS(mask_statistics(one, 1, 2), Error);
}
