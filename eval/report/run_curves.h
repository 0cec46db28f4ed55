// The curves of a training run, read from its logs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/chart.h"

namespace pen::eval {

// Whether the folder is one of a training run: it holds log/train.jsonl.
bool is_run(const std::string& folder);

// Charts of a run folder: losses, mask area, accuracies, over steps. Long runs are shown as means over `points` pieces
// of equal length, which the charts' titles say; validations (log/val.jsonl) as lines of their own, "val ...". A line
// of the log that is no object, or a run without a single step, is a data error that names file and line. A figure that
// is null (not defined) in a step does not count for its mean.
std::vector<Chart> run_charts(const std::string& folder, std::int64_t points = 200);

}  // namespace pen::eval
