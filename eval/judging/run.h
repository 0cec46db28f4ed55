// Many methods, many metrics, one table.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "eval/judging/judge.h"
#include "eval/judging/options.h"
#include "eval/table.h"
#include "kernels/types.h"

namespace pen::eval {

struct MethodResult {
  std::string method, explained;  // explained: which class, in words
  std::int64_t images = 0;
  double seconds = 0;
  std::vector<Judge::Total> totals;  // in the order of options.metrics
  std::string json;                  // the text of <method>.json
};

struct EvaluateRun {
  bool interrupted = false;  // by Ctrl-C: methods that were done before are written, the table is not
  std::vector<MethodResult> methods;
};

// Judges the maps of every method and writes <output_path>/<method>.json and .csv as each is done (the .json last), and
// at the end table.md, .csv and .tex of all of them. Every file names the protocol. Errors as run_wsol's.
EvaluateRun run_evaluate(const EvaluateOptions& options, Device device, const std::string& device_in_words);

// methods x metrics: values with their intervals in brackets, under names with an arrow to where better is.
Table evaluate_table(const std::vector<MethodResult>& methods, const std::string& protocol);

}  // namespace pen::eval
