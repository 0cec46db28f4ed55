// What `bench` measures: a training step or inference, the image loader, single kernels, the judging of maps, or
// memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/run_options.h"
#include "train/reading_options.h"
#include "train/shared_options.h"

namespace pen {

struct BenchOptions : LogOptions, ComputeOptions, ReadingOptions, CleanAheadOptions {
  std::string what;  // step | loader | kernels | wsol | memory
  std::string path;  // loader: metadata JSON or folder of class folders

  std::string mode = "fix";
  std::string arch = "resnet50";
  double width = 1.0;
  std::int64_t input_size = 224;
  std::int64_t classes = 1000;
  bool fuse = true;
  bool cuda_graph = false;
  bool winograd = true;
  std::vector<std::int64_t> masker_use_layers = {3, 4};
  std::string gradient;  // step: file for the first step's mask and gradient
  std::int64_t batch_size = 8;
  std::int64_t steps = 5;
  std::int64_t warmup = 2;

  std::string transform = "train";
  std::int64_t workers = 0;
  std::int64_t limit = 0;

  std::string only;         // kernels: part of a name
  std::int64_t maps = 200;  // wsol

  std::string modes = "fix,ca,infer";  // memory
  std::vector<std::int64_t> batches = {1, 2, 4, 8};
};

const OptionTable& bench_options();
// Contradictions and options without effect are usage errors.
void resolve(BenchOptions& options, OptionValues& values);
// The names in options.modes; another one is a usage error.
std::vector<std::string> memory_modes(const BenchOptions& options);

}  // namespace pen
