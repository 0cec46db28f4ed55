// How fast maps are judged: the measurement behind `bench wsol`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pen::eval::wsol {

struct JudgingBenchmark {
  struct Metric {
    std::string name;                // MaxBoxAcc, MaxBoxAccV2, PxAP
    std::vector<double> maps_per_s;  // of each pass
    double median_maps_per_s = 0, min_maps_per_s = 0, max_maps_per_s = 0;
    double result = 0;  // percent: what the judged maps came to, the same in every pass
  };
  std::vector<Metric> metrics;
};

// `maps` maps (side, side) that look like masks (blobs, a coarse grid, a little noise; from Philox), each with one or
// two boxes and a pixel mask of their insides; 1,000 thresholds (interval 0.001). Timed: `passes` passes over all of
// them, after one that is not, on all threads, in batches of 64. Counts below 1: usage errors.
JudgingBenchmark benchmark_judging(std::int64_t maps, int side, std::int64_t passes, std::uint64_t seed);

}  // namespace pen::eval::wsol
