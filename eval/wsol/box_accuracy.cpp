#include "eval/wsol/box_accuracy.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/parallel.h"

namespace pen::eval::wsol {

std::vector<double> thresholds(double interval) {
  PEN_CHECK_AS(usage, interval >= 1e-4 && interval <= 1, "interval of thresholds: ", interval,
               " must be between 0.0001 and 1");
  std::vector<double> out(static_cast<std::size_t>(std::ceil(1 / interval)));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<double>(i) * interval;
  return out;
}

double inclusive_iou(const Box& a, const Box& b) {
  const auto area = [](const Box& box) { return (box.xmax - box.xmin + 1) * (box.ymax - box.ymin + 1); };
  const std::int64_t width = std::min(a.xmax, b.xmax) - std::max(a.xmin, b.xmin) + 1;
  const std::int64_t height = std::min(a.ymax, b.ymax) - std::max(a.ymin, b.ymin) + 1;
  const std::int64_t common = std::max<std::int64_t>(0, width) * std::max<std::int64_t>(0, height);
  return static_cast<double>(common) / static_cast<double>(area(a) + area(b) - common);
}

Box resized(const Box& box, std::int64_t width, std::int64_t height, std::int64_t new_width, std::int64_t new_height,
            const std::string& where) {
  PEN_CHECK_AS(data, width > 0 && height > 0, where, ": the image's size ", width, "x", height, " is not positive");
  PEN_CHECK_AS(data, 0 <= box.xmin && box.xmin <= box.xmax && 0 <= box.ymin && box.ymin <= box.ymax, where, ": box (",
               box.xmin, ", ", box.ymin, ", ", box.xmax, ", ", box.ymax,
               ") is not x0, y0, x1, y1 with 0 <= x0 <= x1 and 0 <= y0 <= y1");
  const auto scaled = [](std::int64_t v, std::int64_t to, std::int64_t from) {
    return static_cast<std::int64_t>(static_cast<double>(v) * static_cast<double>(to) / static_cast<double>(from));
  };
  return {scaled(box.xmin, new_width, width), scaled(box.ymin, new_height, height), scaled(box.xmax, new_width, width),
          scaled(box.ymax, new_height, height)};
}

void check_scores(std::span<const double> scores, const std::string& where) {
  for (std::size_t i = 0; i < scores.size(); ++i) {
    PEN_CHECK_AS(data, !std::isnan(scores[i]), "the map of '", where, "' is NaN at element ", i);
    PEN_CHECK_AS(data, scores[i] >= 0 && scores[i] <= 1, "the map of '", where, "' is ", scores[i], " at element ", i,
                 ": score maps lie in [0, 1]");
  }
}

std::vector<int> iou_levels(BoxMetric metric) {
  return metric == BoxMetric::v1 ? std::vector<int>{50} : std::vector<int>{30, 50, 70};
}

BoxCurve box_curve(std::span<const double> scores, int height, int width, std::span<const Box> truth, BoxMetric metric,
                   LevelSets& workspace) {
  PEN_CHECK(!truth.empty(), "box curve of an image without boxes");
  std::vector<std::uint8_t> bytes(scores.size());
  to_bytes(scores, bytes);
  workspace.set(bytes, height, width);
  const auto best_iou = [&](const Box& box) {
    double best = 0;
    for (const Box& g : truth) best = std::max(best, inclusive_iou(box, g));
    return best;
  };
  BoxCurve curve;
  curve.top = workspace.top();
  std::vector<double> of_cut(static_cast<std::size_t>(curve.top), 0.0);
  curve.of_nothing = best_iou({0, 0, 0, 0});
  if (metric == BoxMetric::v1) {
    const LargestBoxes boxes = workspace.largest();
    for (std::size_t cut = 0; cut < of_cut.size(); ++cut)
      of_cut[cut] = cut > 0 && boxes[cut] == boxes[cut - 1] ? of_cut[cut - 1] : best_iou(boxes[cut]);
  } else {
    workspace.contours([&](const Box& box, int low, int high) {
      const double iou = best_iou(box);
      for (int cut = low; cut <= high; ++cut) {
        double& best = of_cut[static_cast<std::size_t>(cut)];
        best = std::max(best, iou);
      }
    });
  }
  const auto ends_run = [&](std::size_t cut) { return cut + 1 == of_cut.size() || of_cut[cut + 1] != of_cut[cut]; };
  std::size_t runs = 0;
  for (std::size_t cut = 0; cut < of_cut.size(); ++cut) runs += ends_run(cut);
  curve.last.reserve(runs);
  curve.iou.reserve(runs);
  for (std::size_t cut = 0; cut < of_cut.size(); ++cut) {
    if (!ends_run(cut)) continue;
    curve.last.push_back(static_cast<std::uint8_t>(cut));
    curve.iou.push_back(of_cut[cut]);
  }
  return curve;
}

void BoxAccuracy::add(std::span<const double> maps, std::int64_t n, int height, int width,
                      std::span<const std::vector<Box>> truths, std::span<const std::string> names) {
  const auto count = static_cast<std::size_t>(n);
  const std::size_t pixels = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  PEN_CHECK(maps.size() == count * pixels && truths.size() == count && names.size() == count,
            "box accuracy: ", maps.size(), " scores, ", truths.size(), " lists of boxes and ", names.size(),
            " names for ", n, " maps of ", height, "x", width);
  std::vector<BoxCurve> curves(count);
  parallel_for(n, 1, [&](std::int64_t begin, std::int64_t end) {
    LevelSets workspace;
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const auto scores = maps.subspan(i * pixels, pixels);
      check_scores(scores, names[i]);
      PEN_CHECK_AS(data, !truths[i].empty(), "'", names[i], "' has no annotated box");
      curves[i] = box_curve(scores, height, width, truths[i], metric_, workspace);
    }
  });
  std::move(curves.begin(), curves.end(), std::back_inserter(images_));
}

BoxAccuracy::Result BoxAccuracy::result() const {
  PEN_CHECK_AS(data, !images_.empty(), "box accuracy: no images");
  Result out;
  out.levels = iou_levels(metric_);
  out.images = static_cast<std::int64_t>(images_.size());
  for (const int level : out.levels) {
    std::vector<std::int64_t> correct(thresholds_.size());
    for (std::size_t k = 0; k < thresholds_.size(); ++k)
      for (const BoxCurve& image : images_) correct[k] += image.at(thresholds_[k]) >= level / 100.0;
    const auto best = std::max_element(correct.begin(), correct.end());
    out.best_at.push_back(static_cast<std::size_t>(best - correct.begin()));
    out.best.push_back(static_cast<double>(*best) * 100.0 / static_cast<double>(images_.size()));
    out.correct.push_back(std::move(correct));
  }
  out.performance = std::accumulate(out.best.begin(), out.best.end(), 0.0) / static_cast<double>(out.best.size());
  return out;
}

Interval BoxAccuracy::interval(const BootstrapOptions& options) const {
  PEN_CHECK_AS(data, !images_.empty(), "box accuracy: no images");
  const std::vector<int> levels = iou_levels(metric_);
  const std::size_t columns = levels.size() * thresholds_.size();
  std::vector<std::uint8_t> right(images_.size() * columns);
  for (std::size_t i = 0; i < images_.size(); ++i) {
    for (std::size_t k = 0; k < thresholds_.size(); ++k) {
      const double iou = images_[i].at(thresholds_[k]);
      for (std::size_t l = 0; l < levels.size(); ++l)
        right[i * columns + l * thresholds_.size() + k] = iou >= levels[l] / 100.0;
    }
  }
  return bootstrap_statistic(
      static_cast<std::int64_t>(images_.size()),
      [&](std::span<const std::int32_t> times) {
        std::vector<std::int32_t> correct(columns);
        for (std::size_t i = 0; i < times.size(); ++i) {
          if (times[i] == 0) continue;
          const std::uint8_t* row = right.data() + i * columns;
          for (std::size_t c = 0; c < columns; ++c) correct[c] += times[i] * row[c];
        }
        double sum = 0;
        for (std::size_t l = 0; l < levels.size(); ++l) {
          const auto first = correct.begin() + static_cast<std::ptrdiff_t>(l * thresholds_.size());
          sum += *std::max_element(first, first + static_cast<std::ptrdiff_t>(thresholds_.size()));
        }
        return sum * 100.0 / static_cast<double>(levels.size() * images_.size());
      },
      options);
}

}  // namespace pen::eval::wsol
