// What a scoring run leaves behind: totals, details with intervals, per-image results, recorded boxes.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/score.h"

namespace pen {
class JsonWriter;
}

namespace pen::eval {

// The totals as one JSON object with exactly the 15 keys of the reference, in its order, indented by 2.
std::string totals_json(const Totals& totals);

// What the totals' file must not hold: name, protocol, number of images, version, erosion and dilation, and the
// bootstrap interval of every total that is a mean over images: {"name", "protocol", .., "intervals": {"F1": {"mean",
// "low", "high"}, ..}}. `version` is the program's; intervals: of intervals(), or empty for none; `more` adds members
// to the object.
using MoreDetails = std::function<void(JsonWriter&)>;
std::string details_json(const Scorer& scorer, const BootstrapOptions& options, std::span<const Interval> intervals,
                         const std::string& version, const MoreDetails& more = {});
// Bootstrap intervals in the order of Totals::names; std_mask has none (all three are its total).
std::vector<Interval> intervals(const Scorer& scorer, const BootstrapOptions& options = {});

// One line an image: path, label, predicted, correct, box, values, and the F1 and IoU of each annotated box (separated
// by spaces in CSV, lists in JSON lines). Fields are quoted as RFC 4180 asks.
std::string images_csv(const Scorer& scorer);
std::string images_jsonl(const Scorer& scorer);

// Writes the box of every image under its key, for mode external. An empty box is recorded as the whole frame, as the
// reference does. Two images with one key are a data error.
void record_boxes(const std::string& path, const Scorer& scorer);

// scores.json -> scores.details.json
std::string details_path(const std::string& path);

// All of it at `path` (scores.json): the totals there, details in scores.details.json beside it, per-image results in
// `per_image` and boxes in `boxes`, where those are not empty; per_image ends in .csv or .jsonl (else a usage error).
// Every file appears complete or not at all, the totals last: where they are, the rest is. Without resamples there are
// no intervals. Returns the intervals.
std::vector<Interval> write_report(const Scorer& scorer, const std::string& path, const std::string& per_image,
                                   const std::string& boxes, const BootstrapOptions& options,
                                   const std::string& version, const MoreDetails& more = {});

}  // namespace pen::eval
