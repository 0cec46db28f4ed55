// What a run writes down: one JSON object a line for each step, and a CSV with one row an epoch.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pen {

using Figures = std::vector<std::pair<std::string, double>>;

// <folder>/log/train.jsonl, log/val.jsonl, metrics.csv. Resuming at a step drops the lines of later ones first, so that
// every step stands there once.
class MetricsLog {
 public:
  MetricsLog(const std::string& folder, std::int64_t resume_step, std::int64_t resume_epoch);
  void step(std::int64_t epoch, std::int64_t step, const Figures& figures);
  void validation(std::int64_t epoch, std::int64_t step, const Figures& figures);
  void epoch(std::int64_t epoch, const Figures& figures);  // one CSV row; the same names in every epoch

 private:
  using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  static File open(const std::string& path);
  static void line(File& file, const std::string& text, const std::string& path);
  std::string folder_;
  File train_, val_, csv_;
  bool csv_has_header_ = false;
};

// The mean of each figure over the logs of an epoch, in the first log's order.
Figures mean_figures(const std::vector<Figures>& logs);

}  // namespace pen
