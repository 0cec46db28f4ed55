// Everything that `sanity mprt` and `sanity drt` can be told. Names and defaults of the reference's options are kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/run_options.h"
#include "eval/attribution/options.h"
#include "eval/shared_options.h"

namespace pen {

struct SanityOptions : LogOptions, ComputeOptions, MethodOptions, IntervalOptions, ReadOptions {
  std::string what;  // mprt | drt
  std::string val_json, output_path;
  bool overwrite = false;

  // mprt
  std::string method = "casme";
  std::string casm_path;
  std::string classifier_load_mode = "pickled";
  std::string resnet_path;
  std::int64_t layer_depth = 2;
  std::string randomise = "both";
  // drt
  std::string casm_path1, casm_path2;
  bool allow_other_weights = false;

  std::optional<double> use_p;
  std::string protocol = "paper";
  std::int64_t num_batches = -1;
  std::int64_t limit = 0;
  std::int64_t input_size = 0;
  bool break_ratio = false;
  bool do_plot = true;
  std::vector<std::int64_t> plot_img_i = {0};
};

const OptionTable& sanity_options();
// Contradictions, missing options and options without effect are usage errors.
void resolve(SanityOptions& options, OptionValues& values);

}  // namespace pen
