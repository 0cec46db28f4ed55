// A scoring run: from files of images, boxes and networks to the files of results.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/beside.h"
#include "eval/mask_iou.h"
#include "eval/options.h"
#include "eval/score.h"
#include "kernels/types.h"

namespace pen::eval {

struct ScoreRun {
  bool interrupted = false;  // by Ctrl-C: nothing was written, and what follows is empty
  Totals totals;
  std::vector<Interval> intervals;  // in the order of Totals::names; empty with --bootstrap 0
  // With --masks_path: against the true pixel masks, and the interval of its mean (at the common threshold that is best
  // on these images).
  std::optional<double> infilled_in, infilled_out;  // top-1 (percent) on the infilled images of each side, if asked for
  std::optional<MaskIou::Result> mask_iou;
  std::optional<Interval> mask_iou_interval;
  std::int64_t images = 0;
  double seconds = 0;  // of the loop over the images
};

// Scores the images of options.val_json in its order and writes the results. The classifier that judges the crops of
// the saliency metric is that of resnet_path if it is given, else the checkpoint's own; the details file says which.
// Before the first image is read all boxes are looked up and all networks checked. The networks see at most a few
// images at a time, and what is kept of an image does not depend on its size.
// Errors: kind data for images, boxes, metadata (also one whose classes are not the classifier's), checkpoint for the
// networks' files, usage for options that contradict what is in them.
// metrics: who computes them; results are the same to the bit.
ScoreRun run_score(const ScoreRunOptions& options, Device device, const std::string& device_in_words,
                   MetricsRun metrics = MetricsRun::by_device);

// The totals for people: a Markdown table with intervals.
std::string score_table(const ScoreRun& run);

}  // namespace pen::eval
