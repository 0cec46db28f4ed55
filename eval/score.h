// Scoring of maps against annotated boxes: localisation, saliency metric, accuracies, mask statistics.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/batch.h"
#include "eval/bootstrap.h"
#include "eval/box.h"
#include "eval/masks.h"
#include "eval/saliency_metric.h"

namespace pen::eval {

// Where the maps and boxes come from. maps: from a method (a masker, `casme`, or any attribution method). The special
// modes know neither method nor classifier; they count every image as classified correctly and have no top1 and top5:
// max all ones, min and none all zeros, center ones in round(33 S/224) .. S - that, ground_truth the annotation itself,
// external boxes from a file.
enum class ScoreMode { maps, max, min, none, center, ground_truth, external };
// The special mode of that name, or maps for `casme` and any other name.
ScoreMode score_mode(std::string_view name);

struct ScoreOptions {
  std::string name = "casme";  // what the results are filed under
  ScoreMode mode = ScoreMode::maps;
  std::int64_t size = 224;  // side S of masks and images
  BoxOptions boxes;         // protocol, erosion, dilation
  std::int64_t batch = 0;   // consecutive images that std_mask is taken over; 0: those of each add()
};

// Everything known about one image.
struct ImageScore {
  std::string path;
  std::int64_t label = 0;
  std::int64_t predicted = -1;  // top-1 class on the whole image; -1 in special modes
  bool correct = true, top5 = false;
  Box box;  // ground_truth: the largest annotated box, clipped
  std::vector<Box> truth;
  std::vector<double> f1_of, iou_of;  // for each annotated box
  double f1 = 0, f1a = 0, iou = 0;    // maximum, mean, maximum
  bool hit = false;
  double sm1 = 0, sm2 = 0, sm = 0;
  std::optional<bool> crop_correct;  // ground_truth has none
  double binarized = 0, avg = 0, entropy = 0, tv = 0;

  double le() const { return hit ? 0 : 1; }
  double om() const { return hit && correct ? 0 : 1; }
};

// The 15 totals, in the order and under the names of the reference's result file. Averages over images; top1, top5,
// sm_acc in percent; std_mask averages over batches, weighted by their size (batches of one image have none and are
// left out).
struct Totals {
  double F1 = 0, F1a = 0, OM = 0, LE = 0, SM = 0, SM1 = 0, SM2 = 0, top1 = 0, top5 = 0, sm_acc = 0, binarized = 0,
         avg_mask = 0, std_mask = 0, entropy = 0, tv = 0;

  static constexpr std::array<std::string_view, 15> names = {"F1",        "F1a",      "OM",       "LE",      "SM",
                                                             "SM1",       "SM2",      "top1",     "top5",    "sm_acc",
                                                             "binarized", "avg_mask", "std_mask", "entropy", "tv"};
  std::array<double, 15> values() const {
    return {F1, F1a, OM, LE, SM, SM1, SM2, top1, top5, sm_acc, binarized, avg_mask, std_mask, entropy, tv};
  }
};

// What is known of a batch before the classifier has looked at its crops.
struct Measured {
  std::vector<ImageScore> images;
  std::vector<Crop> crops;      // one an image; ground_truth: one an annotated box
  std::vector<float> enlarged;  // of the first of them, as saliency_terms takes them
};

// Accumulates batches. Per image it keeps one ImageScore and no pixels.
class Scorer {
 public:
  // `original`: the classifier that judges the crops of the saliency metric.
  Scorer(ScoreOptions options, Classifier original);

  // Some images, of any number. truth: the annotated boxes of each image. mode maps: `maps` from the method; mode
  // external: `boxes`, one an image. A map that is not finite, an image without annotated boxes, a label out of range:
  // data errors that name the image.
  void add(const Batch& batch, std::span<const std::vector<Box>> truth, const Maps& maps = {},
           std::span<const Box> boxes = {});
  // The same in two steps: what needs no network and changes nothing here, so that any thread may do it ...
  Measured measure(const Batch& batch, std::span<const std::vector<Box>> truth, const Maps& maps = {},
                   std::span<const Box> boxes = {}) const;
  // ... and the crops' terms, with the classifier, batches in order.
  void judge(const Batch& batch, Measured measured);

  const ScoreOptions& options() const { return options_; }
  const std::vector<ImageScore>& images() const { return images_; }
  Totals totals() const;

 private:
  ScoreOptions options_;
  Classifier original_;
  std::vector<ImageScore> images_;
  std::vector<std::int64_t> batches_;  // images of each batch of std_mask; the last one may be incomplete
};

// Annotated boxes of each path, looked up by image_key. An image without an entry, or with an empty one, is a data
// error that names it.
std::vector<std::vector<Box>> truth_of(std::span<const std::string> paths, const BoxTable& file);
// The same for mode external: exactly one box an image.
std::vector<Box> external_boxes(std::span<const std::string> paths, const BoxTable& file);

}  // namespace pen::eval
