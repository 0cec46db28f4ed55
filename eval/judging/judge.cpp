#include "eval/judging/judge.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"
#include "eval/faithfulness/causal.h"
#include "eval/faithfulness/place.h"
#include "eval/localization.h"
#include "eval/masks.h"
#include "eval/saliency_metric.h"

namespace pen::eval {
namespace {

constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

bool of_all_images(std::string_view name) { return name == "MaxBoxAcc" || name == "MaxBoxAccV2" || name == "PxAP"; }

}  // namespace

Judge::Judge(JudgeOptions options, const wsol::Dataset& dataset, const MapSource& source,
             std::shared_ptr<pen::Classifier> classifier)
    : options_(std::move(options)),
      dataset_(dataset),
      source_(source),
      network_(std::move(classifier)),
      v1_(wsol::BoxMetric::v1, options_.cam_curve_interval),
      v2_(wsol::BoxMetric::v2, options_.cam_curve_interval),
      pixels_(options_.cam_curve_interval) {
  PEN_CHECK_AS(usage, !options_.metrics.empty(), "no metrics were asked for");
  for (const Metric& m : options_.metrics) {
    const auto needs = [&](MetricNeeds what, bool there, const char* in_words) {
      PEN_CHECK_AS(usage, m.needs != what || there, "metric ", m.name, " needs ", in_words);
    };
    needs(MetricNeeds::boxes, dataset.has_boxes(), "annotated boxes");
    needs(MetricNeeds::masks, dataset.has_masks(), "true pixel masks");
    needs(MetricNeeds::truth, dataset.has_boxes() || dataset.has_masks(), "annotated boxes or true pixel masks");
    needs(MetricNeeds::classifier, network_ != nullptr, "a classifier: --resnet_path or --casm_path");
    if (!of_all_images(m.name)) columns_.emplace_back(m.name);
  }
  if (network_)
    classifier_ = [network = network_, size = source.size](std::span<const float> images, std::int64_t n) {
      return logits_of(*network, images, n, size);
    };
}

bool Judge::wants(std::string_view name) const {
  return std::any_of(options_.metrics.begin(), options_.metrics.end(), [&](const Metric& m) { return m.name == name; });
}

bool Judge::reads_images() const {
  return source_.reads_images || std::any_of(options_.metrics.begin(), options_.metrics.end(), [](const Metric& m) {
           return m.needs == MetricNeeds::classifier || m.needs == MetricNeeds::method;
         });
}

std::size_t Judge::column(std::string_view name) const {
  const auto it = std::find(columns_.begin(), columns_.end(), name);
  return it == columns_.end() ? none : static_cast<std::size_t>(it - columns_.begin());
}

void Judge::place_metrics(std::span<const double> map, std::int64_t number, double* row) {
  const std::int64_t size = source_.size;
  if (const std::size_t at = column("LE"); at != none) {
    const std::vector<float> mask(map.begin(), map.end());
    std::vector<std::uint8_t> binary = binarise(mask);
    const Box box = predicted_box(binary, size, {options_.protocol, 0, 0});
    double best = 0;
    for (const Box& g : dataset_.score_boxes(number)) best = std::max(best, box_iou(box, g, size, options_.protocol));
    row[at] = best > 0.5 ? 0 : 1;
  }
  const std::size_t pointing = column("pointing_game"), energy = column("energy_pointing_game");
  if (pointing != none || energy != none) {
    std::vector<std::uint8_t> object(map.size(), 0);
    if (dataset_.has_masks()) {
      dataset_.load_mask(number, object);
      for (std::uint8_t& v : object) v = v == 1;
    } else {
      for (const Box& g : dataset_.score_boxes(number)) {
        const std::vector<float> inside = box_mask(g, size);
        for (std::size_t i = 0; i < object.size(); ++i) object[i] |= inside[i] > 0;
      }
    }
    if (pointing != none) row[pointing] = pointing_game(map, object, size, pointing_tolerance(size));
    if (energy != none) row[energy] = energy_pointing_game(map, object);
  }
  if (const std::size_t at = column("sparseness"); at != none) row[at] = sparseness(map);
}

void Judge::causal_metrics(std::span<const double> map, std::span<const float> image, std::int64_t target,
                           std::uint64_t number, double* row) {
  const Subject subject{image, source_.size, target, classifier_};
  std::vector<std::int32_t> order;
  if (wants("insertion") || wants("deletion") || wants("road") || wants("road_morf") || wants("road_lerf"))
    order = pixel_order(map);
  const auto curve_metric = [&](const char* name, const auto& curve_of) {
    const std::size_t at = column(name);
    if (at == none) return;
    const std::vector<double> curve = curve_of(subject, order, options_.steps);
    row[at] = area_under(curve);
    auto ends = std::find_if(ends_.begin(), ends_.end(), [&](const Ends& e) { return e.metric == name; });
    if (ends == ends_.end()) ends = ends_.insert(ends_.end(), Ends{name, 0, 0});
    ends->start += curve.front();
    ends->end += curve.back();
  };
  curve_metric("insertion", insertion_curve);
  curve_metric("deletion", deletion_curve);
  if (wants("road") || wants("road_morf") || wants("road_lerf")) {
    const Road found = road(subject, order, options_.seed, number);
    for (const auto& [name, value] :
         {std::pair{"road", found.score()}, {"road_morf", found.morf}, {"road_lerf", found.lerf}})
      if (const std::size_t at = column(name); at != none) row[at] = value;
  }
  if (wants("average_drop") || wants("average_increase") || wants("average_gain")) {
    const Change change = masked_change(subject, map);
    for (const auto& [name, value] :
         {std::pair{"average_drop", change.drop}, {"average_increase", change.increase}, {"average_gain", change.gain}})
      if (const std::size_t at = column(name); at != none) row[at] = value;
  }
}

// Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019, as Captum computes it: the largest
// |map(x + noise) - map(x)| / |map(x)| over samples of uniform noise within the radius. A map of zeros: the numerator.
double Judge::max_sensitivity(const Batch& batch, std::size_t i, std::span<const double> map, std::int64_t number) {
  const auto values = static_cast<std::size_t>(batch.size * batch.size * 3);
  const std::span<const float> image = batch.images.subspan(i * values, values);
  std::vector<float> noisy;
  std::vector<std::int64_t> labels;
  std::vector<std::string> paths, ids;
  Rng rng(options_.seed, (std::uint64_t{1} << 40) + static_cast<std::uint64_t>(number));
  for (std::int64_t s = 0; s < options_.samples; ++s) {
    for (const float v : image) noisy.push_back(v + static_cast<float>(rng.uniform(-options_.radius, options_.radius)));
    labels.push_back(batch.labels[i]);
    paths.push_back(batch.paths[i]);
    ids.push_back(dataset_.id(number));
  }
  const std::vector<double> maps = source_.maps({options_.samples, batch.size, noisy, labels, paths}, ids);
  double norm = 0, largest = 0;
  for (const double v : map) norm += v * v;
  for (std::size_t first = 0; first < maps.size(); first += map.size()) {
    double change = 0;
    for (std::size_t p = 0; p < map.size(); ++p) change += (maps[first + p] - map[p]) * (maps[first + p] - map[p]);
    largest = std::max(largest, std::sqrt(change));
  }
  return norm > 0 ? largest / std::sqrt(norm) : largest;
}

void Judge::add(const Batch& batch, std::int64_t first) {
  const auto n = static_cast<std::size_t>(batch.n);
  const std::size_t pixels = static_cast<std::size_t>(source_.size * source_.size);
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < n; ++i) ids.push_back(dataset_.id(first + static_cast<std::int64_t>(i)));
  const auto start = std::chrono::steady_clock::now();
  const std::vector<double> maps = source_.maps(batch, ids);
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  PEN_CHECK(maps.size() == n * pixels, source_.name, ": ", maps.size(), " values of ", n, " maps");
  for (std::size_t i = 0; i < n; ++i) wsol::check_scores(std::span(maps).subspan(i * pixels, pixels), ids[i]);

  if (wants("MaxBoxAcc") || wants("MaxBoxAccV2")) {
    std::vector<std::vector<Box>> boxes;
    for (std::size_t i = 0; i < n; ++i) boxes.push_back(dataset_.boxes(first + static_cast<std::int64_t>(i)));
    const auto side = static_cast<int>(source_.size);
    if (wants("MaxBoxAcc")) v1_.add(maps, batch.n, side, side, boxes, ids);
    if (wants("MaxBoxAccV2")) v2_.add(maps, batch.n, side, side, boxes, ids);
  }
  if (wants("PxAP")) {
    std::vector<std::uint8_t> truth(n * pixels);
    std::vector<std::int64_t> contested(n);
    parallel_for(batch.n, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        contested[static_cast<std::size_t>(i)] =
            dataset_.load_mask(first + i, std::span(truth).subspan(static_cast<std::size_t>(i) * pixels, pixels));
    });
    for (std::size_t i = 0; i < n; ++i) contested_.add(ids[i], contested[i]);
    pixels_.add(maps, truth, batch.n, ids);
  }
  const std::size_t before = values_.size();
  values_.resize(before + n * columns_.size());
  const auto row = [&](std::size_t i) { return values_.data() + before + i * columns_.size(); };
  parallel_for(batch.n, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
      place_metrics(std::span(maps).subspan(i * pixels, pixels), first + static_cast<std::int64_t>(i), row(i));
  });
  if (const std::size_t at = column("ms_per_image"); at != none)
    for (std::size_t i = 0; i < n; ++i) row(i)[at] = ms / static_cast<double>(n);
  if (network_ && reads_images()) {
    // Which class is watched: the label, the predicted one, or the same for all.
    std::vector<std::int64_t> targets(n, options_.target.id);
    if (options_.target.kind == TargetRule::Kind::label) targets.assign(batch.labels.begin(), batch.labels.end());
    if (options_.target.kind == TargetRule::Kind::top1) {
      const std::vector<float> logits = classifier_(batch.images, batch.n);
      const std::size_t classes = logits.size() / n;
      for (std::size_t i = 0; i < n; ++i) targets[i] = argmax(std::span(logits).subspan(i * classes, classes));
    }
    for (std::size_t i = 0; i < n; ++i) {
      PEN_CHECK_AS(data, targets[i] >= 0 && targets[i] < network_->classes(), "'", ids[i], "': class ", targets[i],
                   ", but the classifier has classes 0 to ", network_->classes() - 1);
      causal_metrics(std::span(maps).subspan(i * pixels, pixels), batch.images.subspan(i * pixels * 3, pixels * 3),
                     targets[i], static_cast<std::uint64_t>(first) + i, row(i));
    }
  }
  if (const std::size_t at = column("max_sensitivity"); at != none)
    for (std::size_t i = 0; i < n; ++i)
      row(i)[at] = source_.reads_images ? max_sensitivity(batch, i, std::span(maps).subspan(i * pixels, pixels),
                                                          first + static_cast<std::int64_t>(i))
                                        : 0;
  images_ += batch.n;
}

std::vector<Judge::Ends> Judge::ends() const {
  std::vector<Ends> out = ends_;
  for (Ends& e : out) {
    e.start /= static_cast<double>(images_);
    e.end /= static_cast<double>(images_);
  }
  return out;
}

std::string Judge::warning() const {
  constexpr double most = 0.75;
  for (const Ends& e : ends())
    if (e.metric == "insertion" && e.start > most * e.end)
      return str("insertion begins at a mean probability of ", e.start, " and ends at ", e.end,
                 ": the blurred image shows the class already, and the metric says little of any map");
  return {};
}

std::vector<Judge::Total> Judge::totals(const BootstrapOptions& resampling) const {
  const bool resample = resampling.resamples > 0;
  std::vector<Interval> of_columns;
  if (resample && !columns_.empty())
    of_columns = bootstrap(values_, images_, static_cast<std::int64_t>(columns_.size()), resampling);
  std::vector<Total> out;
  for (const Metric& m : options_.metrics) {
    Total total{std::string(m.name), 0, {}};
    if (m.name == "PxAP") {
      total.value = pixels_.pxap();
      if (resample) total.interval = pixels_.interval(resampling);
    } else if (of_all_images(m.name)) {
      const wsol::BoxAccuracy& boxes = m.name == "MaxBoxAcc" ? v1_ : v2_;
      total.value = boxes.result().performance;
      if (resample) total.interval = boxes.interval(resampling);
    } else {
      const std::size_t at = column(m.name);
      for (std::size_t i = at; i < values_.size(); i += columns_.size()) total.value += values_[i];
      total.value /= static_cast<double>(images_);
      if (resample) total.interval = of_columns[at];
    }
    out.push_back(total);
  }
  return out;
}

Judge::Rows Judge::rows() const {
  Rows out;
  std::vector<std::vector<double>> extra;
  for (const Metric& m : options_.metrics) {
    if (!of_all_images(m.name)) continue;
    out.columns.emplace_back(m.name == "PxAP" ? "PxAP_of_image" : m.name);
    extra.emplace_back();
    if (m.name == "PxAP") {
      for (const auto& image : pixels_.images()) extra.back().push_back(image.pxap);
      continue;
    }
    const wsol::BoxAccuracy& boxes = m.name == "MaxBoxAcc" ? v1_ : v2_;
    const wsol::BoxAccuracy::Result result = boxes.result();
    for (const wsol::BoxCurve& image : boxes.images()) {
      double right = 0;
      for (std::size_t l = 0; l < result.levels.size(); ++l)
        right += image.at(boxes.cuts()[result.best_at[l]]) >= result.levels[l] / 100.0;
      extra.back().push_back(100 * right / static_cast<double>(result.levels.size()));
    }
  }
  out.columns.insert(out.columns.begin(), columns_.begin(), columns_.end());
  for (std::size_t i = 0; i < static_cast<std::size_t>(images_); ++i) {
    out.values.insert(out.values.end(), values_.begin() + static_cast<std::ptrdiff_t>(i * columns_.size()),
                      values_.begin() + static_cast<std::ptrdiff_t>((i + 1) * columns_.size()));
    for (const auto& column : extra) out.values.push_back(column[i]);
  }
  return out;
}

}  // namespace pen::eval
