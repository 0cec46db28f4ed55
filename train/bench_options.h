// What `bench` measures: one training step or inference (bench step), or the image loader (bench loader).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/run_options.h"

namespace pen {

struct BenchOptions : LogOptions, ComputeOptions {
  std::string what;  // step | loader
  std::string path;  // loader: metadata JSON or folder of class folders

  std::string mode = "fix";
  std::string arch = "resnet50";
  double width = 1.0;
  std::int64_t input_size = 224;
  std::int64_t classes = 1000;
  bool fuse = true;
  std::vector<std::int64_t> masker_use_layers = {3, 4};
  std::int64_t batch_size = 8;
  std::int64_t steps = 5;
  std::int64_t warmup = 2;

  std::string transform = "train";
  std::int64_t workers = 0;
  std::int64_t limit = 0;
};

const OptionTable& bench_options();
// Contradictions and options without effect are usage errors.
void resolve(BenchOptions& options, OptionValues& values);

}  // namespace pen
