// Everything that `wsol` can be told. Names and defaults of the reference's wsoleval.py are kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/run_options.h"

namespace pen {

struct WsolOptions : LogOptions, ComputeOptions {
  // Whose maps
  std::string cam_loader, torchray_method, maps;
  std::string casm_base_path, casme_load_mode = "best", classifier_load_mode = "pickled", resnet_path;
  std::optional<double> use_p;
  std::string layer;
  std::int64_t internal_batch = 16;
  // Which images
  std::string dataset, dataset_split = "test", dataset_path, metadata_path, imagenet_val_path;
  std::string val_json, bboxes_path, masks_path;
  bool break_ratio = false;
  std::int64_t limit = 0, input_size = 0;
  // How
  std::string protocol = "paper";
  double cam_curve_interval = 0.01;
  bool box_v2_metric = false;
  std::int64_t bootstrap = 1000;
  double confidence = 0.95;
  // Results
  std::string output_base_path;
  bool overwrite = false;
  // Data
  std::int64_t workers = 4, batch_size = 128;
};

const OptionTable& wsol_options();

// Contradictions and options without effect are usage errors.
void resolve(WsolOptions& options, OptionValues& values);

}  // namespace pen
