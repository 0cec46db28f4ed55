#include "eval/score_report.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "data/metadata.h"
#include "eval/table.h"

namespace pen::eval {
namespace {

// Values of one image in the order of Totals::names; std_mask has no value of a single image.
std::array<double, 15> row_of(const ImageScore& s) {
  const double top1 = s.predicted >= 0 && s.correct ? 100 : 0;
  return {s.f1,
          s.f1a,
          s.om(),
          s.le(),
          s.sm,
          s.sm1,
          s.sm2,
          top1,
          s.top5 ? 100.0 : 0.0,
          s.crop_correct.value_or(false) ? 100.0 : 0.0,
          s.binarized,
          s.avg,
          0,
          s.entropy,
          s.tv};
}

constexpr std::size_t std_column = 12;
static_assert(Totals::names[std_column] == "std_mask");

// A double as JSON and CSV write it: the shortest text that reads back to the same value.
std::string number(double value) { return JsonWriter().value(value).text(); }

std::string joined(const std::vector<double>& values) {
  std::string text;
  for (const double v : values) {
    if (!text.empty()) text += ' ';
    text += number(v);
  }
  return text;
}

}  // namespace

std::string details_path(const std::string& path) {
  const std::filesystem::path file(path);
  return (file.parent_path() / file.stem()).string() + ".details.json";
}

std::string totals_json(const Totals& totals) {
  JsonWriter json(true);
  json.begin_object();
  const auto values = totals.values();
  for (std::size_t i = 0; i < values.size(); ++i) json.field(Totals::names[i], values[i]);
  json.end_object();
  return json.text() + "\n";
}

std::vector<Interval> intervals(const Scorer& scorer, const BootstrapOptions& options) {
  std::vector<double> rows;
  rows.reserve(scorer.images().size() * Totals::names.size());
  for (const ImageScore& image : scorer.images()) {
    const auto row = row_of(image);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  std::vector<Interval> result = bootstrap(rows, static_cast<std::int64_t>(scorer.images().size()),
                                           static_cast<std::int64_t>(Totals::names.size()), options);
  const double std_mask = scorer.totals().std_mask;
  result[std_column] = {std_mask, std_mask, std_mask};
  return result;
}

std::string details_json(const Scorer& scorer, const BootstrapOptions& options, std::span<const Interval> all,
                         const std::string& version, const MoreDetails& more) {
  const ScoreOptions& score = scorer.options();
  JsonWriter json(true);
  json.begin_object();
  json.field("name", score.name).field("protocol", protocol_name(score.boxes.protocol)).field("version", version);
  json.field("images", scorer.images().size()).field("size", score.size);
  json.field("erode", score.boxes.erode).field("dilate", score.boxes.dilate);
  if (!all.empty())
    json.field("resamples", options.resamples).field("level", options.level).field("seed", options.seed);
  json.key("intervals").begin_object();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i == std_column) continue;
    json.key(Totals::names[i]).begin_object();
    json.field("mean", all[i].mean).field("low", all[i].low).field("high", all[i].high);
    json.end_object();
  }
  json.end_object();
  if (more) more(json);
  json.end_object();
  return json.text() + "\n";
}

std::string images_csv(const Scorer& scorer) {
  Table table({"path",         "label",     "predicted", "correct", "xmin", "ymin",        "xmax",        "ymax",
               "F1",           "F1a",       "OM",        "LE",      "IoU",  "SM",          "SM1",         "SM2",
               "crop_correct", "binarized", "avg_mask",  "entropy", "tv",   "F1_of_boxes", "IoU_of_boxes"});
  for (const ImageScore& s : scorer.images()) {
    table.add({s.path,
               str(s.label),
               s.predicted < 0 ? "" : str(s.predicted),
               str(int(s.correct)),
               str(s.box.xmin),
               str(s.box.ymin),
               str(s.box.xmax),
               str(s.box.ymax),
               number(s.f1),
               number(s.f1a),
               number(s.om()),
               number(s.le()),
               number(s.iou),
               number(s.sm),
               number(s.sm1),
               number(s.sm2),
               s.crop_correct ? str(int(*s.crop_correct)) : "",
               number(s.binarized),
               number(s.avg),
               number(s.entropy),
               number(s.tv),
               joined(s.f1_of),
               joined(s.iou_of)});
  }
  return table.csv();
}

std::string images_jsonl(const Scorer& scorer) {
  std::string text;
  for (const ImageScore& s : scorer.images()) {
    JsonWriter json;
    json.begin_object();
    json.field("path", s.path).field("label", s.label);
    json.key("predicted");
    s.predicted < 0 ? json.null() : json.value(s.predicted);
    json.field("correct", s.correct);
    json.field("box", std::vector<std::int64_t>{s.box.xmin, s.box.ymin, s.box.xmax, s.box.ymax});
    json.field("F1", s.f1).field("F1a", s.f1a).field("OM", s.om()).field("LE", s.le()).field("IoU", s.iou);
    json.field("SM", s.sm).field("SM1", s.sm1).field("SM2", s.sm2);
    json.key("crop_correct");
    s.crop_correct ? json.value(*s.crop_correct) : json.null();
    json.field("binarized", s.binarized).field("avg_mask", s.avg).field("entropy", s.entropy).field("tv", s.tv);
    json.field("F1_of_boxes", s.f1_of).field("IoU_of_boxes", s.iou_of);
    json.end_object();
    text += json.text() + "\n";
  }
  return text;
}

void record_boxes(const std::string& path, const Scorer& scorer) {
  const std::int64_t size = scorer.options().size;
  BoxTable table;
  for (const ImageScore& image : scorer.images()) {
    const Box box = area(image.box) == 0 ? Box{0, 0, size, size} : image.box;
    PEN_CHECK_AS(data, table.add(std::string(image_key(image.path)), {box}), path, ": '", image.path,
                 "' has the same key as another image, so that their boxes could not be told apart");
  }
  table.write(path);
}

std::vector<Interval> write_report(const Scorer& scorer, const std::string& path, const std::string& per_image,
                                   const std::string& boxes, const BootstrapOptions& options,
                                   const std::string& version, const MoreDetails& more) {
  const bool csv = per_image.ends_with(".csv"), jsonl = per_image.ends_with(".jsonl");
  PEN_CHECK_AS(usage, per_image.empty() || csv || jsonl, "'", per_image,
               "': per-image results are written to a file that ends in .csv or .jsonl");
  std::vector<Interval> all;
  if (options.resamples > 0) all = intervals(scorer, options);
  write_file(details_path(path), details_json(scorer, options, all, version, more));
  if (csv) write_file(per_image, images_csv(scorer));
  if (jsonl) write_file(per_image, images_jsonl(scorer));
  if (!boxes.empty()) record_boxes(boxes, scorer);
  write_file(path, totals_json(scorer.totals()));
  return all;
}

}  // namespace pen::eval
