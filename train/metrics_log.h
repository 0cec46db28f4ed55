// What a run writes down: one JSON object a line for each step, a CSV with one row an epoch, and TensorBoard's events.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "train/event_file.h"

namespace pen {

using Figures = std::vector<std::pair<std::string, double>>;

// <folder>/log/train.jsonl, log/val.jsonl, metrics.csv, and the same figures of steps and validations as events with
// the tags train/... and val/... (a validation stands at the last step before it). Resuming at a step of an epoch first
// drops the lines of later steps, and validations and rows of epochs that are not over, so that everything stands there
// once.
class MetricsLog {
 public:
  // to_stdout: steps and validations are also written there, each an object that begins with "event": "step" or
  // "validation".
  MetricsLog(const std::string& folder, std::int64_t resume_step, std::int64_t resume_epoch, bool to_stdout = false);
  // Figures of the steps of the epoch that is resumed, as step() was told them. An epoch's means are over all its
  // steps, also over those before an interruption.
  const std::vector<Figures>& resumed() const { return resumed_; }
  void step(std::int64_t epoch, std::int64_t step, const Figures& figures);
  void validation(std::int64_t epoch, std::int64_t step, const Figures& figures);
  void epoch(std::int64_t epoch, const Figures& figures);  // one CSV row; the same names in every epoch

 private:
  using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  static File open(const std::string& path);
  static void line(File& file, const std::string& text, const std::string& path);
  void echo(const char* event, std::int64_t epoch, std::int64_t step, const Figures& figures) const;
  std::string folder_;
  File train_, val_, csv_;
  EventFile events_;
  bool csv_has_header_ = false, to_stdout_ = false;
  std::vector<Figures> resumed_;
};

// The mean of each figure over the logs of an epoch, in the first log's order. Steps in which a figure is NaN, that is
// not defined, do not count for it; NaN if there is no other.
Figures mean_figures(const std::vector<Figures>& logs);

}  // namespace pen
