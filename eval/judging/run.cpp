#include "eval/judging/run.h"

#include <chrono>
#include <cmath>
#include <filesystem>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/version.h"
#include "eval/wsol/run.h"

namespace pen::eval {
namespace {
namespace fs = std::filesystem;

// A name as a file's: the last part of a path.
std::string file_name(const std::string& method) {
  const fs::path path = fs::path(method).lexically_normal();
  return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
}

std::string number(double value) { return std::isfinite(value) ? JsonWriter().value(value).text() : std::string{}; }

std::string images_csv(const Judge& judge, const wsol::Dataset& dataset, const std::string& protocol) {
  const Judge::Rows rows = judge.rows();
  std::vector<std::string> columns{"image"};
  columns.insert(columns.end(), rows.columns.begin(), rows.columns.end());
  columns.push_back("protocol");
  Table table(columns);
  for (std::int64_t i = 0; i < judge.images(); ++i) {
    std::vector<std::string> row{dataset.id(i)};
    for (std::size_t c = 0; c < rows.columns.size(); ++c)
      row.push_back(number(rows.values[static_cast<std::size_t>(i) * rows.columns.size() + c]));
    row.push_back(protocol);
    table.add(row);
  }
  return table.csv();
}

std::string result_json(const MethodResult& result, const std::vector<Judge::Ends>& ends, const EvaluateOptions& o,
                        const std::string& judge, const std::string& device) {
  JsonWriter json(true);
  json.begin_object().field("method", result.method).field("protocol", o.protocol).field("images", result.images);
  json.key("metrics").begin_object();
  for (const Judge::Total& total : result.totals) {
    json.key(total.metric).begin_object().field("value", total.value);
    if (total.interval) json.field("low", total.interval->low).field("high", total.interval->high);
    json.end_object();
  }
  json.end_object();
  if (o.bootstrap > 0) {
    json.key("intervals").begin_object().field("resamples", o.bootstrap).field("level", o.confidence);
    json.field("seed", o.seed).end_object();
  }
  if (!ends.empty()) {
    json.key("curve_ends").begin_object();
    for (const Judge::Ends& e : ends)
      json.key(e.metric).begin_object().field("start", e.start).field("end", e.end).end_object();
    json.end_object();
  }
  json.key("run").begin_object();
  if (!judge.empty()) json.field("classifier", judge).field("watched_class", o.target.empty() ? "label" : o.target);
  if (!result.explained.empty()) json.field("explained_class", result.explained);
  json.field("dataset", o.dataset.empty() ? o.val_json : o.dataset + " " + o.dataset_split);
  json.field("curve_steps", o.curve_steps).field("version", version()).field("device", device);
  json.field("seconds", result.seconds).end_object().end_object();
  return json.text() + "\n";
}

}  // namespace

EvaluateRun run_evaluate(const EvaluateOptions& options, Device device, const std::string& device_in_words) {
  JudgeOptions how;
  for (const std::string& name : words_of(options.metrics, "--metrics")) how.metrics.push_back(metric(name));
  how.protocol = parse_protocol(options.protocol);
  how.target = target_of(options, true);
  how.steps = options.curve_steps;
  how.samples = options.sensitivity_samples;
  how.radius = options.sensitivity_radius;
  how.cam_curve_interval = options.cam_curve_interval;
  how.seed = static_cast<std::uint64_t>(options.seed);

  std::vector<std::string> methods;
  if (!options.methods.empty()) methods = words_of(options.methods, "--methods");
  if (!options.maps.empty()) methods.push_back(options.maps);
  const auto file = [&](const std::string& name) { return (fs::path(options.output_path) / name).string(); };
  std::error_code error;
  for (const std::string& method : methods) {
    const std::string path = file(file_name(method) + ".json");
    if (fs::exists(path, error) && !options.overwrite)
      fail(ErrorKind::usage, str("'", path, "' is there already"), "--overwrite replaces it, or name another folder");
  }
  make_folders(options.output_path);

  wsol::Dataset dataset(options);
  MapSourceOptions wanted;
  if (!options.casm_base_path.empty())
    wanted.casm_path = fs::is_directory(options.casm_base_path, error)
                           ? wsol::masker_file(options.casm_base_path, "best")
                           : options.casm_base_path;
  wanted.classifier_load_mode = options.classifier_load_mode;
  wanted.resnet_path = options.resnet_path;
  wanted.use_p = options.use_p;
  wanted.fuse = options.fuse;
  wanted.protocol = how.protocol;
  wanted.attribution = attribution_options(options, options.seed);
  wanted.target = [&](std::int64_t classes) {
    PEN_CHECK_AS(data, how.target.kind != TargetRule::Kind::label || dataset.class_count() == classes,
                 "the images have ", dataset.class_count(), " classes, the classifier ", classes,
                 ": --target top1 explains what it predicts");
    return how.target;
  };
  const std::string judge_file = options.resnet_path.empty() ? wanted.casm_path : options.resnet_path;
  std::optional<OpenedClassifier> judging;
  if (!judge_file.empty()) judging = open_classifier(judge_file, device, std::string{}, options.fuse);
  // One side for all methods, so that all of them see the same images.
  wanted.size = options.input_size > 0 ? options.input_size : judging ? judging->input_size : 224;

  EvaluateRun run;
  const BootstrapOptions resampling{options.bootstrap, options.confidence, how.seed};
  for (const std::string& method : methods) {
    wanted.maps = method == options.maps ? options.maps : "";
    wanted.scale_maps = options.scale_maps;
    wanted.method = wanted.maps.empty() ? method : "";
    const MapSource source = open_map_source(wanted, device);
    dataset.set_size(source.size);
    Judge judge(how, dataset, source, judging ? judging->runner : nullptr);
    if (judge.reads_images()) dataset.check_files();
    log::info(str("evaluate ", method, ": ", dataset.size(), " images at ", source.size, "x", source.size, ", ",
                  options.protocol, " protocol, on ", device_in_words));
    const auto start = std::chrono::steady_clock::now();
    run.interrupted = !wsol::each_batch(dataset, judge.reads_images(), file_name(method), device,
                                        [&](const Batch& batch, std::int64_t first) { judge.add(batch, first); });
    if (run.interrupted) return run;
    MethodResult result;
    result.method = file_name(method);
    result.explained = source.explained;
    result.images = judge.images();
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    result.totals = judge.totals(resampling);
    result.json = result_json(result, judge.ends(), options, judge_file, device_in_words);
    for (const std::string& warning : {source.warning(), judge.warning(), judge.contested().warning()})
      if (!warning.empty()) log::warn(warning);
    write_file(file(result.method + ".csv"), images_csv(judge, dataset, options.protocol));
    write_file(file(result.method + ".json"), result.json);
    run.methods.push_back(std::move(result));
  }
  const Table table = evaluate_table(run.methods, options.protocol);
  write_file(file("table.md"), table.markdown());
  write_file(file("table.csv"), table.csv());
  write_file(file("table.tex"), table.latex());
  log::info(str("wrote the results of ", methods.size(), " methods and table.md, .csv, .tex to ", options.output_path));
  return run;
}

Table evaluate_table(const std::vector<MethodResult>& methods, const std::string& protocol) {
  PEN_CHECK(!methods.empty(), "a table of no methods");
  std::vector<std::string> header{"method"};
  for (const Judge::Total& total : methods[0].totals)
    header.push_back(total.metric + (metric(total.metric).lower_is_better ? " (low)" : " (high)"));
  header.insert(header.end(), {"protocol", "images"});
  Table table(header);
  for (const MethodResult& m : methods) {
    std::vector<std::string> row{m.method};
    for (const Judge::Total& total : m.totals) {
      const int decimals = metric(total.metric).decimals;
      std::string cell = fixed(total.value, decimals);
      if (total.interval)
        cell += " [" + fixed(total.interval->low, decimals) + ", " + fixed(total.interval->high, decimals) + "]";
      row.push_back(cell);
    }
    row.insert(row.end(), {protocol, str(m.images)});
    table.add(row);
  }
  return table;
}

}  // namespace pen::eval
