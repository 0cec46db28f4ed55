#include "eval/wsol/run.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "eval/map_source.h"
#include "eval/table.h"
#include "eval/wsol/dataset.h"
#include "eval/wsol/report.h"

namespace pen::eval::wsol {
namespace {
namespace fs = std::filesystem;

// FILE.json, as the options mean it.
std::string result_file(const WsolOptions& options, const std::string& dataset) {
  const std::string base = options.output_base_path.empty() ? (fs::path(options.casm_base_path) / "wsoleval").string()
                                                            : options.output_base_path;
  if (base.ends_with(".json")) return base;
  const std::string split = options.dataset.empty() ? "" : "___" + options.dataset_split;
  return (fs::path(base) / (dataset + split + (options.box_v2_metric ? "___v2.json" : "___v1.json"))).string();
}

// FILE.json -> FILE.images.csv
std::string beside(const std::string& file, const std::string& ending) {
  return file.substr(0, file.size() - 5) + ending;
}

void check_output(const std::string& file, bool overwrite) {
  std::error_code error;
  PEN_CHECK_AS(usage, !fs::is_directory(file, error), "'", file, "' is a folder, a file was expected");
  if (fs::exists(file, error) && !overwrite)
    fail(ErrorKind::usage, str("'", file, "' is there already"), "--overwrite replaces it, or name another file");
  const std::string folder = fs::path(file).parent_path().string();
  if (!folder.empty()) make_folders(folder);
}

// Paper: the reference's dummy label 0, but real labels where it has them. Strict: the label, if the classifier knows
// as many classes as the data set, else what it predicts.
TargetRule explained_class(const Dataset& dataset, Protocol protocol, std::int64_t classes) {
  using Kind = TargetRule::Kind;
  if (protocol == Protocol::paper && dataset.labels_are_dummies()) return {Kind::fixed, 0};
  if (dataset.class_count() == classes) return {Kind::label, 0};
  PEN_CHECK_AS(data, protocol == Protocol::strict, "the images have ", dataset.class_count(),
               " classes, the classifier ", classes, ": in the paper protocol their labels are explained");
  return {Kind::top1, 0};
}

}  // namespace

std::string masker_file(const std::string& path, const std::string& casme_load_mode) {
  std::error_code error;
  if (casme_load_mode == "specific") {
    PEN_CHECK_AS(checkpoint, !fs::is_directory(path, error), "'", path,
                 "' is a folder: --casme_load_mode best takes its last epoch");
    return path;
  }
  PEN_CHECK_AS(checkpoint, fs::is_directory(path, error), "'", path,
               "' is no folder of checkpoints: --casme_load_mode specific takes a file");
  std::string best;
  std::int64_t last = -1;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const std::string ending = entry.path().extension().string(), stem = entry.path().stem().string();
    const std::string digits = stem.starts_with("epoch_") ? stem.substr(6) : "";
    if ((ending != ".chk" && ending != ".safetensors") || digits.empty() || digits.size() > 9 ||
        digits.find_first_not_of("0123456789") != std::string::npos || std::stoll(digits) <= last)
      continue;
    last = std::stoll(digits);
    best = entry.path().string();
  }
  if (best.empty() && fs::exists(fs::path(path) / "last.chk", error)) best = (fs::path(path) / "last.chk").string();
  PEN_CHECK_AS(checkpoint, !best.empty(), "the folder '", path, "' has no epoch_<number>.chk and no last.chk");
  return best;
}

WsolRun run_wsol(const WsolOptions& options, Device device, const std::string& device_in_words, MetricsRun metrics) {
  WsolRun run;
  run.dataset = options.dataset.empty() ? fs::path(options.val_json).stem().string() : options.dataset;
  run.file = result_file(options, run.dataset);
  check_output(run.file, options.overwrite);

  MapSourceOptions wanted;
  wanted.method = options.cam_loader == "torchray" ? options.torchray_method : options.cam_loader;
  wanted.maps = options.maps;
  wanted.scale_maps = options.scale_maps;
  if (wanted.method == "casme") wanted.casm_path = masker_file(options.casm_base_path, options.casme_load_mode);
  wanted.classifier_load_mode = options.classifier_load_mode;
  wanted.resnet_path = options.resnet_path;
  wanted.use_p = options.use_p;
  wanted.fuse = options.fuse;
  wanted.protocol = parse_protocol(options.protocol);
  wanted.size = options.input_size;
  wanted.attribution = attribution_options(options, options.seed);
  Dataset dataset(options);
  wanted.target = [&](std::int64_t classes) {
    return options.target.empty() ? explained_class(dataset, wanted.protocol, classes) : parse_target(options.target);
  };
  const MapSource source = open_map_source(wanted, device);
  run.method = source.name;
  dataset.set_size(source.size);
  if (source.reads_images) dataset.check_files();
  log::info(str("wsol ", run.method, ": ", dataset.size(), " images of ", run.dataset, " at ", source.size, "x",
                source.size, ", ", options.protocol, " protocol, on ", device_in_words));

  BoxAccuracy v1(BoxMetric::v1, options.cam_curve_interval), v2(BoxMetric::v2, options.cam_curve_interval);
  PixelPrecision pixels(options.cam_curve_interval);
  WsolReport report{run, options, nullptr, nullptr, nullptr, {}, device_in_words, {}, {}};
  const auto start = std::chrono::steady_clock::now();
  const auto side = static_cast<int>(source.size);
  const auto judge = [&](const std::vector<double>& maps, std::span<const std::string> ids, std::int64_t first) {
    const std::size_t n = ids.size(), each = static_cast<std::size_t>(side) * static_cast<std::size_t>(side);
    const auto count = static_cast<std::int64_t>(n);
    if (dataset.has_boxes()) {
      std::vector<std::vector<Box>> boxes;
      for (std::int64_t i = first; i < first + count; ++i) boxes.push_back(dataset.boxes(i));
      v1.add(maps, count, side, side, boxes, ids);
      v2.add(maps, count, side, side, boxes, ids);
    }
    if (dataset.has_masks()) {
      std::vector<std::uint8_t> truth(each * n);
      std::vector<std::int64_t> contested(n);
      parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i)
          contested[static_cast<std::size_t>(i)] =
              dataset.load_mask(first + i, std::span(truth).subspan(static_cast<std::size_t>(i) * each, each));
      });
      for (std::size_t i = 0; i < n; ++i) run.contested.add(ids[i], contested[i]);
      pixels.add(maps, truth, count, ids);
    }
  };
  Beside judging(metrics, device);
  bool done = false;
  try {
    done = each_batch(dataset, source.reads_images, "wsol", device, [&](const Batch& batch, std::int64_t first) {
      std::vector<std::string> ids;
      for (std::int64_t i = first; i < first + batch.n; ++i) ids.push_back(dataset.id(i));
      std::vector<double> maps = source.maps(batch, ids);
      report.ids.insert(report.ids.end(), ids.begin(), ids.end());
      judging.start([&judge, maps = std::move(maps), ids = std::move(ids), first] { judge(maps, ids, first); });
    });
  } catch (...) {
    judging.wait();  // what is wrong with earlier images is said first
    throw;
  }
  run.interrupted = !done;
  if (!done) {
    judging.forget();  // it writes to `run`
    return run;
  }
  judging.wait();
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  run.images = dataset.size();

  const BootstrapOptions resampling{options.bootstrap, options.confidence, static_cast<std::uint64_t>(options.seed)};
  if (dataset.has_boxes()) {
    report.v1 = &v1;
    report.v2 = &v2;
    run.v1 = v1.result();
    run.v2 = v2.result();
    if (options.bootstrap > 0) {
      run.v1_interval = v1.interval(resampling);
      run.v2_interval = v2.interval(resampling);
    }
    run.metric = options.box_v2_metric ? "MaxBoxAccV2" : "MaxBoxAcc";
    run.performance = (options.box_v2_metric ? run.v2 : run.v1)->performance;
  }
  if (dataset.has_masks()) {
    report.pixels = &pixels;
    run.pxap = pixels.pxap();
    if (options.bootstrap > 0) run.pxap_interval = pixels.interval(resampling);
    if (!dataset.has_boxes()) {
      run.metric = "PxAP";
      run.performance = *run.pxap;
    }
  }
  if (source.classifier) report.classifier = source.classifier->file;
  report.explained = source.explained;
  for (const std::string& warning : {source.warning(), run.contested.warning()})
    if (!warning.empty()) log::warn(warning);
  write_file(beside(run.file, ".images.csv"), images_csv(report));
  if (run.v1) {
    write_file(beside(run.file, ".thresholds.csv"), thresholds_csv(report));
    write_file(beside(run.file, ".thresholds.svg"), thresholds_svg(report));
  }
  if (run.pxap) {
    write_file(beside(run.file, ".precision_recall.csv"), precision_recall_csv(report));
    write_file(beside(run.file, ".precision_recall.svg"), precision_recall_svg(report));
  }
  write_file(run.file, result_json(report));
  log::info(str("wrote ", run.file, " and ", beside(run.file, ".*.csv, .svg")));
  return run;
}

std::string wsol_table(const WsolRun& run) {
  Table table({"metric", "value", "low", "high"});
  const auto add = [&](const std::string& name, double value, const std::optional<Interval>& interval) {
    table.add(
        {name, fixed(value, 2), interval ? fixed(interval->low, 2) : "-", interval ? fixed(interval->high, 2) : "-"});
  };
  if (run.v1) add("MaxBoxAcc", run.v1->performance, run.v1_interval);
  if (run.v2) {
    add("MaxBoxAccV2", run.v2->performance, run.v2_interval);
    for (std::size_t l = 0; l < run.v2->levels.size(); ++l)
      add(str("  at IoU 0.", run.v2->levels[l] / 10), run.v2->best[l], std::nullopt);
  }
  if (run.pxap) add("PxAP", *run.pxap, run.pxap_interval);
  return table.markdown();
}

}  // namespace pen::eval::wsol
