// Explaining single images: what the classifier sees in them, where the masker looks, and what is left without that.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/boxes.h"
#include "eval/options.h"
#include "kernels/types.h"

namespace pen::eval {

struct RankedClass {
  std::int64_t id = 0;
  std::string name;  // the number, where nobody has named the class
  double probability = 0;
};

struct Explanation {
  std::string image;                                       // path
  std::string panel, map, json;                            // files that were written: .png, .npy, .json
  std::vector<RankedClass> before, masked_in, masked_out;  // the five most probable classes (or all, if there are less)
  std::vector<RankedClass> infilled_in, infilled_out;      // the same of infilled images; empty without infilling
  Box box;                                                 // in the frame of the network's input
  double area = 0;                                         // mean of the mask
};

struct ExplainRun {
  std::int64_t explained = 0;
  std::int64_t bad = 0;  // files that could not be read: reported, and left out
  bool interrupted = false;
};

// What stands on the command line (files, folders, `-` for lines of standard input) as image files: folders with all
// that is below them, in sorted order. A folder that is empty or cannot be read stays in the list, for the run to
// report.
std::vector<std::string> listed_images(const std::vector<std::string>& words);

// Writes <output_path>/<name>.png, .npy (the raw mask, (S, S) float32) and .json for each image, and a sheet
// panels.png of the first twelve. <name> is the file's name without its ending, followed by _2, _3, .. where that is
// taken. Files of an earlier call are replaced. `done` is called for each image, in order.
ExplainRun run_explain(const ExplainOptions& options, Device device,
                       const std::function<void(const Explanation&)>& done);

// One image in words: its top classes before masking, masked in and masked out, one line each.
std::string explanation_text(const Explanation& explanation);
// The same as a JSON object.
std::string explanation_json(const Explanation& explanation, bool pretty);

}  // namespace pen::eval
