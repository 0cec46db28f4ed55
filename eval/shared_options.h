// Options that several commands of this folder share.
#pragma once

#include <cstdint>
#include <string>

#include "base/option_rules.h"
#include "base/options.h"

namespace pen {

// How images are read.
struct ReadOptions {
  std::int64_t workers = 4, batch_size = 128;
};

template <class T>
void add_read_options(OptionsOf<T>& table, const std::string& batch = "images at a time, 32 at most") {
  table.group("Data");
  table.add("workers", &ReadOptions::workers, "threads that read images; 0: the main thread does").between(0, 1024);
  table.add("batch_size", &ReadOptions::batch_size, batch).between(1, 65536);
}

// Intervals of means, by resampling the images.
struct IntervalOptions {
  std::int64_t bootstrap = 1000;
  double confidence = 0.95;
};

template <class T>
void add_interval_options(OptionsOf<T>& table,
                          const std::string& none = "resamples for the confidence intervals; 0: none") {
  table.add("bootstrap", &IntervalOptions::bootstrap, none).between(0, 1000000);
  table.add("confidence", &IntervalOptions::confidence, "level of the intervals").between(0.5, 0.9999);
}

// A level without intervals has no effect: a usage error.
inline void resolve_intervals(const IntervalOptions& options, const OptionValues& values) {
  rules::check_effect(values, options.bootstrap > 0, {"confidence"}, "--bootstrap is 0");
}

}  // namespace pen
