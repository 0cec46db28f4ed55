#include "eval/wsol/benchmark.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/check.h"
#include "base/rng.h"
#include "eval/wsol/box_accuracy.h"
#include "eval/wsol/pixel_precision.h"

namespace pen::eval::wsol {
namespace {

constexpr double interval = 0.001;
constexpr std::int64_t batch = 64;

struct Sample {
  std::vector<double> scores;
  std::vector<std::uint8_t> truth;
  std::vector<Box> boxes;
  std::string name;
};

int below(Rng& rng, int n) { return static_cast<int>(rng.below(static_cast<std::uint64_t>(n))); }

Sample make_sample(std::int64_t number, int side, std::uint64_t seed) {
  Rng rng(seed, static_cast<std::uint64_t>(2000 + number));
  Sample s;
  s.name = str("map ", number);
  const std::size_t pixels = static_cast<std::size_t>(side) * static_cast<std::size_t>(side);
  s.scores.assign(pixels, 0.0);
  const auto at = [&](int y, int x) {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(side) + static_cast<std::size_t>(x);
  };
  struct Blob {
    double y, x, height, width, weight;
  };
  std::vector<Blob> blobs;
  for (int i = 2 + below(rng, 5); i > 0; --i)
    blobs.push_back({rng.uniform(0, side), rng.uniform(0, side), rng.uniform(0.04 * side, 0.27 * side),
                     rng.uniform(0.04 * side, 0.27 * side), rng.uniform(0.3, 1)});
  constexpr int cells = 14;
  std::vector<double> grid(cells * cells);
  for (double& g : grid) g = rng.uniform(0, 0.2);
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) {
      double v = rng.uniform(0, 0.05) + grid[static_cast<std::size_t>(y * cells / side * cells + x * cells / side)];
      for (const Blob& b : blobs)
        v += b.weight * std::exp(-std::pow((y - b.y) / b.height, 2) - std::pow((x - b.x) / b.width, 2));
      s.scores[at(y, x)] = v;
    }
  const double most = *std::max_element(s.scores.begin(), s.scores.end());
  for (double& v : s.scores) v /= most;
  s.truth.assign(pixels, PixelPrecision::background);
  for (int i = 1 + below(rng, 2); i > 0; --i) {
    const int x0 = below(rng, side / 2), y0 = below(rng, side / 2);
    const Box box{x0, y0, x0 + below(rng, side - x0), y0 + below(rng, side - y0)};
    s.boxes.push_back(box);
    for (int y = y0; y <= static_cast<int>(box.ymax); ++y)
      for (int x = x0; x <= static_cast<int>(box.xmax); ++x) s.truth[at(y, x)] = PixelPrecision::object;
  }
  return s;
}

// All samples in batches as the metrics take them.
struct Batch {
  std::vector<double> maps;
  std::vector<std::uint8_t> truths;
  std::vector<std::vector<Box>> boxes;
  std::vector<std::string> names;
};

void judge(const std::vector<Batch>& batches, int side, BoxMetric metric, double& result) {
  BoxAccuracy accuracy(metric, interval);
  for (const Batch& b : batches)
    accuracy.add(b.maps, static_cast<std::int64_t>(b.names.size()), side, side, b.boxes, b.names);
  result = accuracy.result().performance;
}

}  // namespace

JudgingBenchmark benchmark_judging(std::int64_t maps, int side, std::int64_t passes, std::uint64_t seed) {
  PEN_CHECK_AS(usage, maps >= 1 && side >= 8 && passes >= 1, "bench wsol: ", maps, " maps of side ", side, ", ", passes,
               " passes");
  std::vector<Batch> batches;
  for (std::int64_t i = 0; i < maps; ++i) {
    if (i % batch == 0) batches.emplace_back();
    Sample s = make_sample(i, side, seed);
    Batch& to = batches.back();
    to.maps.insert(to.maps.end(), s.scores.begin(), s.scores.end());
    to.truths.insert(to.truths.end(), s.truth.begin(), s.truth.end());
    to.boxes.push_back(std::move(s.boxes));
    to.names.push_back(std::move(s.name));
  }
  JudgingBenchmark all;
  for (const char* const name : {"MaxBoxAcc", "MaxBoxAccV2", "PxAP"}) {
    JudgingBenchmark::Metric m{name, {}, 0, 0, 0, 0};
    for (std::int64_t pass = -1; pass < passes; ++pass) {
      const auto start = std::chrono::steady_clock::now();
      if (m.name == "PxAP") {
        PixelPrecision precision(interval);
        for (const Batch& b : batches)
          precision.add(b.maps, b.truths, static_cast<std::int64_t>(b.names.size()), b.names);
        m.result = precision.pxap();
      } else {
        judge(batches, side, m.name == "MaxBoxAcc" ? BoxMetric::v1 : BoxMetric::v2, m.result);
      }
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      if (pass >= 0) m.maps_per_s.push_back(static_cast<double>(maps) / elapsed.count());
    }
    std::vector<double> sorted = m.maps_per_s;
    std::sort(sorted.begin(), sorted.end());
    const std::size_t n = sorted.size();
    m.median_maps_per_s = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    m.min_maps_per_s = sorted.front(), m.max_maps_per_s = sorted.back();
    all.metrics.push_back(std::move(m));
  }
  return all;
}

}  // namespace pen::eval::wsol
