// Everything that `score` and `explain` can be told. Names and defaults of the reference's options are kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/run_options.h"
#include "eval/attribution/options.h"
#include "eval/infilling.h"
#include "eval/shared_options.h"

namespace pen {

struct ScoreRunOptions : LogOptions, ComputeOptions, MethodOptions, InfillOptions, IntervalOptions, ReadOptions {
  // What is scored
  std::string val_json, bboxes_path, output_path, mode, casm_path;
  std::string classifier_load_mode = "pickled";
  std::string resnet_path, masks_path, arch;
  bool fuse = true;
  std::optional<double> use_p;
  // How
  std::string protocol = "paper";
  bool break_ratio = false;
  std::int64_t erode = 0, dilate = 0;
  double pot = 1.0;
  std::int64_t limit = 0;
  std::int64_t input_size = 0;
  // What is written beside the totals
  std::string record_bboxes, per_image;
};

struct ExplainOptions : LogOptions, ComputeOptions, MethodOptions, InfillOptions {
  std::vector<std::string> images;  // files, folders, "-" for a list on stdin
  std::string casm_path, resnet_path, output_path;
  std::string method;  // a,b,c: a grid of methods x images instead of a masker's panels
  std::string color_map = "viridis", normalize = "minmax";
  std::string classifier_load_mode = "pickled";
  std::string class_names, arch;
  bool fuse = true;
  std::int64_t class_id = -1;
  std::optional<double> use_p;
  std::string protocol = "paper";
  bool break_ratio = false;
  std::int64_t resize = 0;
  std::int64_t batch_size = 8;
  std::int64_t limit = 0;
};

const OptionTable& score_options();
const OptionTable& explain_options();

// Contradictions and options without effect are usage errors.
void resolve(ScoreRunOptions& options, OptionValues& values);
void resolve(ExplainOptions& options, OptionValues& values);

// classifier_load_mode taken apart: pickled, original, or a file's path for `path:FILE`.
struct ClassifierSource {
  enum class Kind : std::uint8_t { checkpoint, original, file } kind = Kind::checkpoint;
  std::string file;
};
// `pickled`: the checkpoint's own. Anything that is none of the three forms: a usage error.
ClassifierSource parse_classifier_load_mode(const std::string& text);

}  // namespace pen
