// `attribute`: maps of many images to files.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "eval/attribution/method.h"
#include "eval/attribution/options.h"
#include "kernels/types.h"

namespace pen {

struct AttributeOptions : LogOptions, ComputeOptions, MethodOptions {
  // What is explained
  std::vector<std::string> images;  // files, folders, "-" for a list on stdin
  std::string val_json, root, method, casm_path, resnet_path, arch;
  bool fuse = true;
  std::string classifier_load_mode = "pickled";
  std::optional<double> use_p;
  bool list_layers = false, list_methods = false;
  std::int64_t limit = 0;
  // How
  bool break_ratio = false;
  std::int64_t input_size = 0;
  // What is written
  std::string output_path;
  bool overwrite = false;
  std::string pictures = "panel", color_map = "viridis", normalize = "minmax";
  // Data
  std::int64_t workers = 4, batch_size = 32;
};

const OptionTable& attribute_options();
// Contradictions, missing options and options without effect are usage errors.
void resolve(AttributeOptions& options, OptionValues& values);

namespace eval {

struct AttributedImage {
  std::string method, image, id;
  std::string map, picture;  // files; picture empty with --pictures none
  std::int64_t target = -1;  // the class that was explained; -1: a method that knows none
  std::int64_t predicted = -1;
};

struct AttributeRun {
  std::int64_t maps = 0;    // that were written
  std::int64_t images = 0;  // with maps of all methods
  std::int64_t bad = 0;     // files that could not be read: reported, and left out
  std::int64_t warned = 0;  // maps that were zero or not finite
  double seconds = 0;       // of the loop over the images
  bool interrupted = false;
};

// Writes <output_path>/<id>.npy, (S, S) float32, for each image, and <id>.png beside it; of several methods to a folder
// each, <output_path>/<method>/. attribution.json says what was run. What is held of an image does not depend on how
// many there are. `done` is called for each map, in order.
AttributeRun run_attribute(const AttributeOptions& options, Device device, const std::string& device_in_words,
                           const std::function<void(const AttributedImage&)>& done);

// The layers of the classifier that options name, with the shapes of their results, as a Markdown table.
std::string layer_table(const AttributeOptions& options, Device device);
// Name, formula, paper, cost and options of every method, for people.
std::string method_list();

}  // namespace eval
}  // namespace pen
