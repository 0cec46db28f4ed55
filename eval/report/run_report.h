// The report of training runs and results as one HTML page that opens from disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/types.h"

namespace pen::eval {

struct RunReportOptions {
  std::vector<std::string> runs;    // folders of training runs; the first two show their masks in the gallery
  std::vector<std::string> scores;  // result files of score
  std::string per_image;            // CSV of score --per_image: what the gallery chooses from; empty: no gallery
  std::string metric;               // it is sorted by; empty: the first of IoU, F1 that is there, else the first
  std::int64_t each = 12;           // so many of the best and of the worst images
  std::string checkpoint = "last.chk";
  std::optional<double> use_p;  // target area, for maskers with add_prob_layers
  bool break_ratio = false;
};

// Curves of the runs, the metrics beside the published numbers, and the gallery. Masks are drawn by the runs' own
// classifiers. Errors: data for logs, results and images, checkpoint for networks, usage for options.
std::string run_report_html(const RunReportOptions& options, Device device);

}  // namespace pen::eval
