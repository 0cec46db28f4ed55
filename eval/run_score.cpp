#include "eval/run_score.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/version.h"
#include "data/loader.h"
#include "data/metadata.h"
#include "eval/attribution/map_maker.h"
#include "eval/beside.h"
#include "eval/infilling.h"
#include "eval/score_report.h"
#include "eval/table.h"
#include "eval/true_masks.h"
#include "tensor/memory.h"

namespace pen::eval {
namespace {
namespace fs = std::filesystem;

// The first images of the list: --pot of them, and at most --limit.
Metadata chosen_images(const ScoreRunOptions& options) {
  Metadata all = Metadata::read(options.val_json);
  auto count = static_cast<std::int64_t>(std::floor(options.pot * static_cast<double>(all.size())));
  if (options.limit > 0) count = std::min(count, options.limit);
  count = std::max<std::int64_t>(count, 1);
  if (count == all.size()) return all;
  std::vector<std::uint32_t> first(static_cast<std::size_t>(count));
  std::iota(first.begin(), first.end(), 0u);
  return all.select(first);
}

// Labels mean the same to the list of images and to the classifier.
void check_classes(const Metadata& images, const std::string& list, const OpenedClassifier& classifier) {
  PEN_CHECK_AS(data, images.class_count() == classifier.network->classes(), "'", list, "' has ", images.class_count(),
               " classes, the classifier of '", classifier.file, "' has ", classifier.network->classes());
  for (std::size_t c = 0; c < classifier.class_names.size(); ++c) {
    PEN_CHECK_AS(data, images.classes()[c] == classifier.class_names[c], "class ", c, " is '", images.classes()[c],
                 "' in '", list, "', but '", classifier.class_names[c], "' to the classifier of '", classifier.file,
                 "'");
  }
}

void check_output(const std::string& path) {
  if (path.empty()) return;
  std::error_code error;
  PEN_CHECK_AS(usage, !fs::is_directory(path, error), "'", path, "' is a folder, a file was expected");
  const std::string folder = fs::path(path).parent_path().string();
  if (!folder.empty()) make_folders(folder);
}

// Boxes are filed under image_key(), so that two images with one key could not be told apart.
void check_keys(const Metadata& images, const std::string& why) {
  std::set<std::string_view> keys;
  for (std::int64_t i = 0; i < images.size(); ++i) {
    PEN_CHECK_AS(data, keys.insert(image_key(images.path_view(i))).second, why, ": '", images.path_view(i),
                 "' has the same key as another image, '", image_key(images.path_view(i)), "'");
  }
}

// Boxes say nothing about the frame that they are given in, and in the wrong one every score is meaningless. What gives
// it away: none of many boxes comes near the far edges, or most of them lie beyond.
void check_frame(const Metadata& images, const BoxTable& boxes, std::int64_t size, const std::string& file) {
  constexpr std::int64_t enough = 20;
  std::int64_t count = 0, beyond = 0, far = 0;
  for (std::int64_t i = 0; i < images.size(); ++i) {
    for (const Box& box : *boxes.find(image_key(images.path_view(i)))) {
      ++count;
      beyond += box.xmin >= size || box.ymin >= size;
      far = std::max({far, box.xmax, box.ymax});
    }
  }
  if (count < enough) return;
  if (10 * far < 7 * size || 2 * beyond > count) {
    log::warn(str("the boxes of '", file, "' reach to pixel ", far, ", the network's input is ", size, "x", size,
                  ": are they given in its frame? prepare's --image_size and --input_size have to be equal"));
  }
}

// The mask that a mode stands for, where it has no soft one of its own.
void rectangles(const ImageScore& image, ScoreMode mode, std::int64_t size, std::span<float> out) {
  std::fill(out.begin(), out.end(), 0.0f);
  const std::vector<Box> own{image.box};
  for (const Box& box : mode == ScoreMode::ground_truth ? image.truth : own) {
    const std::vector<float> filled = box_mask(box, size);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = std::max(out[i], filled[i]);
  }
}

// Everything that is needed before the first image.
struct Job {
  const ScoreRunOptions& options;
  ScoreMode mode;
  Metadata images;
  BoxTable truth, external;
  std::unique_ptr<MapMaker> maker;  // mode maps
  OpenedClassifier judge;
  std::int64_t size = 0;
  std::optional<TrueMasks> true_masks;
  std::shared_ptr<Infiller> infiller;

  Job(const ScoreRunOptions& o, Device device)
      : options(o), mode(score_mode(o.mode)), images(chosen_images(o)), truth(BoxTable::read(o.bboxes_path)) {
    for (const std::string& path : {o.output_path, o.per_image, o.record_bboxes}) check_output(path);
    if (!o.record_bboxes.empty()) check_keys(images, "--record_bboxes");
    if (mode == ScoreMode::external) external = BoxTable::read(o.casm_path);
    for (std::int64_t i = 0; i < images.size(); ++i) {
      const std::vector<std::string> path{images.path(i)};
      truth_of(path, truth);
      if (mode == ScoreMode::external) external_boxes(path, external);
    }
    if (mode == ScoreMode::maps) {
      MapMakerOptions making;
      making.method = o.mode;
      making.casm_path = o.casm_path;
      making.classifier_load_mode = o.classifier_load_mode;
      making.resnet_path = o.resnet_path;
      making.use_p = o.use_p;
      making.arch = o.arch;
      making.fuse = o.fuse;
      making.attribution = attribution_options(o, o.seed);
      making.target = o.mode == "casme" ? TargetRule{} : target_of(o, true);
      making.input_size = o.input_size;
      maker = std::make_unique<MapMaker>(making, device);
      check_classes(images, o.val_json, maker->classifier());
      const MaskMaker* masker = maker->masker();
      PEN_CHECK_AS(data, !masker || !masker->uses_class_ids() || masker->masker_classes() == images.class_count(), "'",
                   o.val_json, "' has ", images.class_count(), " classes, the masker of '", o.casm_path, "' knows ",
                   masker->masker_classes());
    }
    judge = o.resnet_path.empty() ? maker->classifier() : open_classifier(o.resnet_path, device, o.arch, o.fuse);
    check_classes(images, o.val_json, judge);
    size = o.input_size ? o.input_size : maker ? maker->size() : judge.input_size;
    check_frame(images, truth, size, o.bboxes_path);
    if (maker) infiller = open_infiller(o, o.protocol == "strict", static_cast<std::uint64_t>(o.seed), device);
    if (!o.masks_path.empty()) true_masks.emplace(o.masks_path, transform());
  }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  Transform transform() const { return Transform::score(static_cast<int>(size), options.break_ratio); }
};

// What a reader has to know to make the same numbers again.
void write_facts(JsonWriter& json, const Job& job, const ScoreRun& run, const std::string& device) {
  const ScoreRunOptions& o = job.options;
  json.key("run").begin_object();
  json.field("mode", o.mode).field("val_json", o.val_json).field("bboxes_path", o.bboxes_path);
  if (!o.casm_path.empty()) json.field("casm_path", o.casm_path);
  if (job.maker) json.field("classifier", job.maker->classifier().file);
  if (job.maker && !job.maker->masker()) {
    const DeadMaps dead = job.maker->dead();
    json.field("target", o.target.empty() ? "label" : o.target).field("layer", job.maker->layer());
    json.field("zero_maps", dead.zero).field("not_finite_maps", dead.not_finite);
  }
  json.field("judge", job.judge.file);
  json.field("judge_is", o.resnet_path.empty() ? "the checkpoint's own classifier, as --resnet_path was not given"
                                               : "the original classifier, of --resnet_path");
  if (o.use_p) json.field("use_p", *o.use_p);
  json.field("break_ratio", o.break_ratio).field("pot", o.pot).field("limit", o.limit);
  json.field("batch_size", o.batch_size).field("device", device).field("seconds", run.seconds);
  json.field("images_per_s", run.seconds > 0 ? static_cast<double>(run.images) / run.seconds : 0.0);
  json.end_object();
  if (run.infilled_in || run.infilled_out) {
    json.key("infilled").begin_object();
    json.field("infiller_model", o.infiller_model);
    if (!o.infiller_path.empty()) json.field("infiller_path", o.infiller_path);
    if (run.infilled_in) json.field("masked_in_top1", *run.infilled_in);
    if (run.infilled_out) json.field("masked_out_top1", *run.infilled_out);
    json.end_object();
  }
  if (!run.mask_iou) return;
  const MaskIou::Result& iou = *run.mask_iou;
  json.key("mask_iou").begin_object();
  json.field("masks_path", o.masks_path).field("mean", iou.mean).field("threshold", iou.threshold);
  if (run.mask_iou_interval) json.field("low", run.mask_iou_interval->low).field("high", run.mask_iou_interval->high);
  json.field("mean_at_own_best_thresholds",
             std::accumulate(iou.best.begin(), iou.best.end(), 0.0) / static_cast<double>(iou.best.size()));
  json.end_object();
}

// A batch on its way: mapped by the networks, measured without them, and its crops judged by them.
struct Mapped {
  BatchPtr loaded;
  Batch batch;  // views of it
  Maps maps;
  Measured measured;
};

Mapped mapped(const Job& job, BatchPtr loaded) {
  Mapped m;
  const std::int64_t n = loaded->size;
  const auto values = static_cast<std::size_t>(n * job.size * job.size * 3);
  m.batch = {n, job.size, std::span(loaded->images).first(values), loaded->labels, loaded->paths};
  m.loaded = std::move(loaded);
  if (job.maker) m.maps = (*job.maker)(m.batch);
  return m;
}

void measure(const Job& job, Mapped& m, const Scorer& scorer, MaskIou& mask_iou) {
  if (job.maker && !job.maker->masker()) stretch_to_unit(m.maps.maps, m.batch.n);
  std::vector<Box> boxes;
  if (job.mode == ScoreMode::external) boxes = external_boxes(m.batch.paths, job.external);
  m.measured = scorer.measure(m.batch, truth_of(m.batch.paths, job.truth), m.maps, boxes);
  if (!job.true_masks) return;
  const std::vector<ImageScore>& images = m.measured.images;
  const auto each = static_cast<std::size_t>(job.size * job.size);
  std::vector<float> masks(job.maker ? 0 : each * images.size());
  std::vector<std::uint8_t> truths(each * images.size());
  for (std::size_t i = 0; i < images.size(); ++i) {
    job.true_masks->load(images[i].path, std::span(truths).subspan(i * each, each));
    if (!job.maker) rectangles(images[i], job.mode, job.size, std::span(masks).subspan(i * each, each));
  }
  mask_iou.add(job.maker ? m.maps.maps : masks, truths, m.batch.n);
}

// All images through the networks and the metrics. While a batch is mapped the one before is measured, beside or in
// turn; its crops come next. False if it was interrupted.
bool score_images(const Job& job, Device device, MetricsRun metrics, Scorer& scorer, MaskIou& mask_iou,
                  std::optional<InfilledAccuracy>& infilled) {
  LoaderOptions loading;
  loading.batch_size = static_cast<int>(std::min(job.options.batch_size, images_at_once));
  loading.workers = static_cast<int>(job.options.workers);
  loading.bad_files = BadFiles::fail;
  Loader loader(job.images, job.transform(), loading);
  log::Progress progress("score", job.images.size());
  if (job.maker) job.maker->on_progress([&](std::int64_t images) { progress.advance(images); });
  std::int64_t missed = 0;
  const auto judge = [&](Mapped& m) {
    scorer.judge(m.batch, std::move(m.measured));
    if (infilled) infilled->add(m.batch, m.maps.maps);
    for (const ImageScore& image : std::span(scorer.images()).last(static_cast<std::size_t>(m.batch.n)))
      missed += !image.hit;
    progress.advance(job.maker ? 0 : m.batch.n,
                     str("LE ", fixed(static_cast<double>(missed) / static_cast<double>(scorer.images().size()))));
  };
  std::shared_ptr<Mapped> last;  // being measured, to be judged
  Beside beside(metrics, device);
  const auto finish_last = [&] {
    const std::shared_ptr<Mapped> m = std::exchange(last, nullptr);
    beside.wait();
    if (m) judge(*m);
  };
  loader.start_epoch(0);
  for (;;) {
    std::shared_ptr<Mapped> next;
    try {
      if (BatchPtr loaded = loader.next()) {
        // The last batch has shapes of its own: what is kept for those of the others makes room.
        if (loaded->size < loading.batch_size) {
          finish_last();
          release_cached_memory(device);
        }
        next = std::make_shared<Mapped>(mapped(job, std::move(loaded)));
      }
    } catch (...) {
      finish_last();  // what is wrong with earlier images is said first
      throw;
    }
    if (!next) break;
    beside.start([&job, next, &scorer, &mask_iou] { measure(job, *next, scorer, mask_iou); });
    if (const auto before = std::exchange(last, next)) judge(*before);
    if (interrupt::requested()) {
      progress.finish();
      return false;
    }
  }
  finish_last();
  return true;
}

}  // namespace

ScoreRun run_score(const ScoreRunOptions& options, Device device, const std::string& device_in_words,
                   MetricsRun metrics) {
  const Job job(options, device);
  ScoreOptions how;
  how.name = options.mode;
  how.mode = job.mode;
  how.size = job.size;
  how.batch = options.batch_size;
  how.boxes = {parse_protocol(options.protocol), static_cast<int>(options.erode), static_cast<int>(options.dilate)};
  Scorer scorer(how, as_function(job.judge, job.size));
  MaskIou mask_iou;
  std::optional<InfilledAccuracy> infilled;
  if (job.infiller) infilled.emplace(options, job.infiller, as_function(job.maker->classifier(), job.size));
  log::info(str("score ", options.mode, ": ", job.images.size(), " images at ", job.size, "x", job.size, ", ",
                options.protocol, " protocol, on ", device_in_words));
  log::info(str("crops are judged by the classifier of '", job.judge.file, "'",
                options.resnet_path.empty() ? " itself; --resnet_path names the original one" : ""));

  ScoreRun run;
  const auto start = std::chrono::steady_clock::now();
  if (!score_images(job, device, metrics, scorer, mask_iou, infilled)) {
    log::warn("interrupted: no results were written");
    run.interrupted = true;
    return run;
  }
  if (job.maker && !job.maker->warning().empty()) log::warn(job.maker->warning());
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  run.images = static_cast<std::int64_t>(scorer.images().size());
  run.totals = scorer.totals();
  if (infilled && infilled->in()) run.infilled_in = infilled->masked_in();
  if (infilled && infilled->out()) run.infilled_out = infilled->masked_out();

  const BootstrapOptions resampling{options.bootstrap, options.confidence, static_cast<std::uint64_t>(options.seed)};
  if (job.true_masks) {
    run.mask_iou = mask_iou.result();
    if (options.bootstrap > 0) run.mask_iou_interval = bootstrap(run.mask_iou->images, resampling);
  }
  run.intervals = write_report(scorer, options.output_path, options.per_image, options.record_bboxes, resampling,
                               version(), [&](JsonWriter& json) { write_facts(json, job, run, device_in_words); });
  log::info(str("wrote ", options.output_path, " and ", details_path(options.output_path)));
  for (const std::string& path : {options.per_image, options.record_bboxes})
    if (!path.empty()) log::info("wrote " + path);
  return run;
}

std::string score_table(const ScoreRun& run) {
  Table table({"metric", "value", "low", "high"});
  const auto values = run.totals.values();
  const auto add = [&](const std::string& name, double value, const Interval* interval) {
    const int decimals = name == "top1" || name == "top5" || name == "sm_acc" ? 2 : 4;
    table.add({name, fixed(value, decimals), interval ? fixed(interval->low, decimals) : "-",
               interval ? fixed(interval->high, decimals) : "-"});
  };
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::string name(Totals::names[i]);
    add(name, values[i], run.intervals.empty() || name == "std_mask" ? nullptr : &run.intervals[i]);
  }
  if (run.infilled_in) table.add({"top1 masked in, infilled", fixed(*run.infilled_in, 2), "-", "-"});
  if (run.infilled_out) table.add({"top1 masked out, infilled", fixed(*run.infilled_out, 2), "-", "-"});
  if (run.mask_iou)
    add(str("mask IoU at ", fixed(run.mask_iou->threshold, 2)), run.mask_iou->mean,
        run.mask_iou_interval ? &*run.mask_iou_interval : nullptr);
  return table.markdown();
}

}  // namespace pen::eval
