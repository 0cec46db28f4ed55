#include "eval/score.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"
#include "data/metadata.h"
#include "eval/localization.h"
#include "layers/mask_statistics.h"

namespace pen::eval {
namespace {

// The box of a mode that has the same one for every image.
Box fixed_box(ScoreMode mode, std::int64_t size) {
  if (mode == ScoreMode::max) return {0, 0, size, size};
  if (mode == ScoreMode::center) {
    // Halves to even, as Python rounds.
    const auto margin = static_cast<std::int64_t>(std::nearbyint(33.0 * static_cast<double>(size) / 224.0));
    return {margin, margin, size - margin, size - margin};
  }
  return {};
}

// Adds localisation, mask statistics and box of one image; mask (S, S).
void score_mask(ImageScore& image, std::span<const float> mask, const ScoreOptions& options) {
  const Localization found = localize(mask, image.box, image.truth, options.size, options.boxes.protocol);
  image.f1_of = found.f1;
  image.iou_of = found.iou;
  const MaskStatistics statistics = mask_statistics(mask, options.size, options.size);
  image.avg = statistics.avg;
  image.entropy = statistics.entropy;
  image.tv = statistics.tv;
}

void score_map(ImageScore& image, std::span<const float> map, const ScoreOptions& options) {
  for (const float m : map) {
    PEN_CHECK_AS(data, std::isfinite(m), "the map of '", image.path, "' holds a value that is not finite");
  }
  std::vector<std::uint8_t> binary = binarise(map);
  image.binarized = static_cast<double>(std::count(binary.begin(), binary.end(), 1)) / static_cast<double>(map.size());
  image.box = predicted_box(binary, options.size, options.boxes);
  score_mask(image, map, options);
}

void score_rectangle(ImageScore& image, const ScoreOptions& options) {
  score_mask(image, box_mask(image.box, options.size), options);
  image.binarized = image.avg;
}

// Special: its masks and their statistics are zeros, and each box is its own prediction.
void score_truth(ImageScore& image, const ScoreOptions& options) {
  const Localization found = localize_truth(image.truth, options.size, options.boxes.protocol);
  image.f1_of = found.f1;
  image.iou_of = found.iou;
  for (const Box& truth : image.truth) {
    const Box inside = clipped(truth, options.size);
    if (area(inside) > area(image.box)) image.box = inside;
  }
}

// Top-1 and top-5 of one row of logits; of equal logits the lower class comes first.
void score_class(ImageScore& image, std::span<const float> logits) {
  PEN_CHECK_AS(data, image.label >= 0 && image.label < static_cast<std::int64_t>(logits.size()), "'", image.path,
               "' has label ", image.label, ", but the classifier has ", logits.size(), " classes");
  const float own = logits[static_cast<std::size_t>(image.label)];
  PEN_CHECK(std::isfinite(own), "the classifier's output for '", image.path, "' is not finite");
  std::int64_t before = 0;
  for (std::size_t c = 0; c < logits.size(); ++c) {
    before += logits[c] > own || (logits[c] == own && static_cast<std::int64_t>(c) < image.label);
  }
  image.predicted = argmax(logits);
  image.correct = before == 0;
  image.top5 = before < 5;
}

std::string where(const Batch& batch, std::size_t i) { return "'" + batch.paths[i] + "'"; }

}  // namespace

ScoreMode score_mode(std::string_view name) {
  if (name == "max") return ScoreMode::max;
  if (name == "min") return ScoreMode::min;
  if (name == "none") return ScoreMode::none;
  if (name == "center") return ScoreMode::center;
  if (name == "ground_truth") return ScoreMode::ground_truth;
  if (name == "external") return ScoreMode::external;
  return ScoreMode::maps;
}

Scorer::Scorer(ScoreOptions options, Classifier original)
    : options_(std::move(options)), original_(std::move(original)) {
  PEN_CHECK_AS(usage, options_.size >= 1 && options_.size <= 1 << 14, "score: input size ", options_.size,
               " is not in 1..16384");
  PEN_CHECK(original_ != nullptr, "score: no classifier for the saliency metric");
}

void Scorer::add(const Batch& batch, std::span<const std::vector<Box>> truth, const Maps& maps,
                 std::span<const Box> boxes) {
  judge(batch, measure(batch, truth, maps, boxes));
}

Measured Scorer::measure(const Batch& batch, std::span<const std::vector<Box>> truth, const Maps& maps,
                         std::span<const Box> boxes) const {
  const std::size_t n = static_cast<std::size_t>(batch.n);
  const std::size_t pixels = static_cast<std::size_t>(options_.size * options_.size);
  PEN_CHECK(batch.n >= 1 && batch.size == options_.size, "score: batch of ", batch.n, " images of side ", batch.size,
            ", expected side ", options_.size);
  PEN_CHECK(batch.labels.size() == n && batch.paths.size() == n && truth.size() == n, "score: ", n, " images, but ",
            batch.labels.size(), " labels, ", batch.paths.size(), " paths and ", truth.size(), " lists of boxes");
  const bool from_maps = options_.mode == ScoreMode::maps, external = options_.mode == ScoreMode::external;
  PEN_CHECK(maps.maps.size() == (from_maps ? n * pixels : 0), "score: maps have ", maps.maps.size(),
            " values, expected ", from_maps ? n * pixels : 0);
  PEN_CHECK(boxes.size() == (external ? n : 0), "score: ", boxes.size(), " external boxes for ", n, " images");
  PEN_CHECK(maps.logits.size() % n == 0, "score: ", maps.logits.size(), " logits for ", n, " images");
  const std::size_t classes = maps.logits.size() / n;

  Measured measured;
  std::vector<ImageScore>& scores = measured.images;
  scores.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    PEN_CHECK_AS(data, !truth[i].empty(), where(batch, i), " has no annotated box to be scored against");
    scores[i].path = batch.paths[i];
    scores[i].label = batch.labels[i];
    scores[i].truth = truth[i];
    scores[i].box = external ? clipped(boxes[i], options_.size) : fixed_box(options_.mode, options_.size);
    if (classes) score_class(scores[i], std::span(maps.logits).subspan(i * classes, classes));
  }
  parallel_for(batch.n, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::size_t i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      if (from_maps) {
        score_map(scores[i], std::span(maps.maps).subspan(i * pixels, pixels), options_);
      } else if (options_.mode == ScoreMode::ground_truth) {
        score_truth(scores[i], options_);
      } else {
        score_rectangle(scores[i], options_);
      }
    }
  });

  std::vector<Crop>& crops = measured.crops;
  for (std::size_t i = 0; i < n; ++i) {
    if (options_.mode == ScoreMode::ground_truth) {
      for (const Box& box : truth[i]) crops.push_back({static_cast<std::int64_t>(i), box});
    } else {
      crops.push_back({static_cast<std::int64_t>(i), scores[i].box});
    }
  }
  measured.enlarged = enlarged_crops(batch, std::span(crops).first(std::min(n, crops.size())));
  return measured;
}

void Scorer::judge(const Batch& batch, Measured measured) {
  const std::vector<Crop>& crops = measured.crops;
  std::vector<ImageScore>& scores = measured.images;
  const std::vector<SaliencyTerms> terms = saliency_terms(batch, crops, original_, std::move(measured.enlarged));
  for (std::size_t c = 0; c < crops.size(); ++c) {
    ImageScore& image = scores[static_cast<std::size_t>(crops[c].image)];
    PEN_CHECK(std::isfinite(terms[c].sm2), "the classifier's output for a crop of '", image.path, "' is not finite");
    // ground_truth averages over the boxes of an image first; elsewhere there is one crop an image.
    const double share = options_.mode == ScoreMode::ground_truth ? static_cast<double>(image.truth.size()) : 1.0;
    image.sm1 += terms[c].sm1 / share;
    image.sm2 += terms[c].sm2 / share;
    if (options_.mode != ScoreMode::ground_truth) image.crop_correct = terms[c].correct;
  }

  for (ImageScore& image : scores) {
    image.sm = image.sm1 - image.sm2;
    const Localization found{image.f1_of, image.iou_of};
    image.f1 = found.best_f1();
    image.f1a = found.mean_f1();
    image.iou = found.best_iou();
    image.hit = found.hit();
    if (batches_.empty() || batches_.back() == options_.batch || (options_.batch == 0 && &image == scores.data()))
      batches_.push_back(0);
    ++batches_.back();
  }
  images_.insert(images_.end(), std::make_move_iterator(scores.begin()), std::make_move_iterator(scores.end()));
}

Totals Scorer::totals() const {
  PEN_CHECK_AS(data, !images_.empty(), "no images were scored");
  Totals t;
  const double n = static_cast<double>(images_.size());
  for (const ImageScore& image : images_) {
    t.F1 += image.f1;
    t.F1a += image.f1a;
    t.OM += image.om();
    t.LE += image.le();
    t.SM1 += image.sm1;
    t.SM2 += image.sm2;
    t.SM += image.sm;
    t.top1 += image.predicted >= 0 && image.correct ? 100 : 0;
    t.top5 += image.top5 ? 100 : 0;
    t.sm_acc += image.crop_correct.value_or(false) ? 100 : 0;
    t.binarized += image.binarized;
    t.avg_mask += image.avg;
    t.entropy += image.entropy;
    t.tv += image.tv;
  }
  for (double* sum : {&t.F1, &t.F1a, &t.OM, &t.LE, &t.SM, &t.SM1, &t.SM2, &t.top1, &t.top5, &t.sm_acc, &t.binarized,
                      &t.avg_mask, &t.entropy, &t.tv}) {
    *sum /= n;
  }
  std::int64_t compared = 0;
  auto image = images_.begin();
  for (const std::int64_t count : batches_) {
    std::vector<MaskStatistics> masks;
    for (std::int64_t i = 0; i < count; ++i, ++image) masks.push_back({image->avg, image->entropy, image->tv});
    if (count < 2) continue;  // has no deviation
    t.std_mask += combine(masks).std * static_cast<double>(count);
    compared += count;
  }
  if (compared) t.std_mask /= static_cast<double>(compared);
  return t;
}

std::vector<std::vector<Box>> truth_of(std::span<const std::string> paths, const BoxTable& file) {
  std::vector<std::vector<Box>> boxes;
  boxes.reserve(paths.size());
  for (const std::string& path : paths) {
    const std::vector<Box>* found = file.find(image_key(path));
    PEN_CHECK_AS(data, found, "'", path, "': the boxes file has no entry '", image_key(path), "'");
    PEN_CHECK_AS(data, !found->empty(), "'", path, "': the boxes file has an empty list for '", image_key(path), "'");
    for (const Box& b : *found) {
      PEN_CHECK_AS(data, b.xmax >= b.xmin && b.ymax >= b.ymin, "'", path, "': a box ends before it starts: x ", b.xmin,
                   "..", b.xmax, ", y ", b.ymin, "..", b.ymax);
    }
    boxes.push_back(*found);
  }
  return boxes;
}

std::vector<Box> external_boxes(std::span<const std::string> paths, const BoxTable& file) {
  std::vector<Box> boxes;
  for (const std::vector<Box>& list : truth_of(paths, file)) {
    PEN_CHECK_AS(data, list.size() == 1, "'", paths[boxes.size()],
                 "': mode external takes one box an image, the file has ", list.size());
    boxes.push_back(list[0]);
  }
  return boxes;
}

}  // namespace pen::eval
