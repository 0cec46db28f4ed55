// Everything that `evaluate` and `compare` can be told.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/attribution/options.h"
#include "eval/judge_options.h"

namespace pen {

struct EvaluateOptions : JudgedNetworks, JudgedImages, MethodOptions, IntervalOptions, LogOptions, ComputeOptions {
  std::string methods, maps;  // methods: names with commas between
  bool scale_maps = false;
  std::string metrics = "insertion,deletion,average_drop,average_increase,average_gain,road,sparseness";
  std::string protocol = "paper";
  std::int64_t curve_steps = 28, sensitivity_samples = 10;
  double sensitivity_radius = 0.02, cam_curve_interval = 0.01;
  std::string output_path;
  bool overwrite = false;
};

const OptionTable& evaluate_options();
void resolve(EvaluateOptions& options, OptionValues& values);

struct CompareOptions : LogOptions {
  std::vector<std::string> files;  // two
  std::string columns;             // names with commas between; empty: all numbers
  bool common = false;
  std::string output;
  std::int64_t bootstrap = 10000;
  double confidence = 0.95;
  std::int64_t seed = 0;
};

const OptionTable& compare_options();
void resolve(CompareOptions& options, OptionValues& values);

// "a, b,c" as its words; an empty one is a usage error that names the option.
std::vector<std::string> words_of(const std::string& text, const std::string& option);

}  // namespace pen
