// Everything that `wsol` can be told. Names and defaults of the reference's wsoleval.py are kept.
#pragma once

#include <cstdint>
#include <string>

#include "eval/attribution/options.h"
#include "eval/judge_options.h"

namespace pen {

struct WsolOptions : JudgedNetworks, JudgedImages, MethodOptions, IntervalOptions, LogOptions, ComputeOptions {
  std::string cam_loader, torchray_method, maps, casme_load_mode = "best";
  bool scale_maps = false;
  // How
  std::string protocol = "paper";
  double cam_curve_interval = 0.01;
  bool box_v2_metric = false;
  // Results
  std::string output_base_path;
  bool overwrite = false;
};

const OptionTable& wsol_options();

// Contradictions and options without effect are usage errors.
void resolve(WsolOptions& options, OptionValues& values);

}  // namespace pen
