#include "eval/wsol/report.h"

#include <cmath>

#include "base/check.h"
#include "base/json.h"
#include "base/version.h"
#include "eval/chart.h"
#include "eval/table.h"

namespace pen::eval::wsol {
namespace {

// The shortest text that reads back to the same value; empty for NaN.
std::string number(double value) { return std::isfinite(value) ? JsonWriter().value(value).text() : std::string{}; }

double percent(const BoxAccuracy::Result& r, std::size_t level, std::size_t k) {
  return static_cast<double>(r.correct[level][k]) * 100.0 / static_cast<double>(r.images);
}

void write_interval(JsonWriter& json, const std::optional<Interval>& interval) {
  if (interval) json.field("low", interval->low).field("high", interval->high);
}

void write_boxes(JsonWriter& json, const char* name, const BoxAccuracy::Result& r, const std::vector<double>& cuts,
                 const std::optional<Interval>& interval) {
  json.key(name).begin_object();
  json.field("performance", r.performance);
  write_interval(json, interval);
  json.key("levels").begin_array();
  for (std::size_t l = 0; l < r.levels.size(); ++l) {
    json.begin_object().field("iou", r.levels[l]).field("accuracy", r.best[l]);
    json.field("threshold", cuts[r.best_at[l]]).field("correct", r.correct[l][r.best_at[l]]).end_object();
  }
  json.end_array().end_object();
}

std::string caption(const WsolReport& report) {
  return report.run.method + " on " + report.run.dataset + ", " + report.options.protocol + " protocol";
}

}  // namespace

std::string result_json(const WsolReport& report) {
  const WsolRun& run = report.run;
  const WsolOptions& o = report.options;
  JsonWriter json(true);
  json.begin_object();
  json.field("performance", run.performance).field("metric", run.metric).field("protocol", o.protocol);
  json.field("method", run.method).field("dataset", run.dataset);
  if (!o.dataset.empty()) json.field("split", o.dataset_split);
  json.field("images", run.images).field("cam_curve_interval", o.cam_curve_interval);
  if (run.v1) write_boxes(json, "MaxBoxAcc", *run.v1, report.v1->cuts(), run.v1_interval);
  if (run.v2) write_boxes(json, "MaxBoxAccV2", *run.v2, report.v2->cuts(), run.v2_interval);
  if (run.pxap) {
    json.key("PxAP").begin_object().field("performance", *run.pxap);
    write_interval(json, run.pxap_interval);
    json.field("contested_images", run.contested.images).field("contested_pixels", run.contested.pixels);
    json.end_object();
  }
  if (o.bootstrap > 0) {
    json.key("intervals").begin_object().field("resamples", o.bootstrap).field("level", o.confidence);
    json.field("seed", o.seed).end_object();
  }
  json.key("run").begin_object();
  if (!report.classifier.empty()) json.field("classifier", report.classifier);
  if (!report.explained.empty()) json.field("explained_class", report.explained);
  for (const auto& [name, value] : {std::pair{"casm_base_path", &o.casm_base_path},
                                    {"maps", &o.maps},
                                    {"metadata_path", &o.metadata_path},
                                    {"dataset_path", &o.dataset_path},
                                    {"val_json", &o.val_json},
                                    {"bboxes_path", &o.bboxes_path},
                                    {"masks_path", &o.masks_path}})
    if (!value->empty()) json.field(name, *value);
  if (o.use_p) json.field("use_p", *o.use_p);
  json.field("version", version()).field("device", report.device).field("seconds", run.seconds);
  json.field("images_per_s", run.seconds > 0 ? static_cast<double>(run.images) / run.seconds : 0.0);
  json.end_object().end_object();
  return json.text() + "\n";
}

std::string images_csv(const WsolReport& report) {
  const WsolRun& run = report.run;
  std::vector<std::string> columns{"image"};
  if (run.v1) columns.insert(columns.end(), {"MaxBoxAcc", "MaxBoxAccV2", "IoU", "best_IoU"});
  if (run.pxap) columns.insert(columns.end(), {"PxAP_of_image", "object_pixels", "background_pixels"});
  columns.push_back("protocol");
  Table table(columns);
  const auto pixels = report.pixels ? report.pixels->images() : std::vector<PixelPrecision::Image>{};
  for (std::size_t i = 0; i < report.ids.size(); ++i) {
    std::vector<std::string> row{report.ids[i]};
    if (run.v1) {
      const BoxCurve& one = report.v1->images()[i];
      const BoxCurve& all = report.v2->images()[i];
      const std::vector<double>& cuts = report.v1->cuts();
      const double iou = one.at(cuts[run.v1->best_at[0]]);
      double right = 0, own = 0;
      for (std::size_t l = 0; l < run.v2->levels.size(); ++l)
        right += all.at(cuts[run.v2->best_at[l]]) >= run.v2->levels[l] / 100.0;
      for (const double t : cuts) own = std::max(own, one.at(t));
      row.insert(row.end(), {iou >= 0.5 ? "100" : "0", number(100 * right / static_cast<double>(run.v2->levels.size())),
                             number(iou), number(own)});
    }
    if (run.pxap) row.insert(row.end(), {number(pixels[i].pxap), str(pixels[i].object), str(pixels[i].background)});
    row.push_back(report.options.protocol);
    table.add(row);
  }
  return table.csv();
}

std::string thresholds_csv(const WsolReport& report) {
  const BoxAccuracy::Result &v1 = *report.run.v1, &v2 = *report.run.v2;
  Table table({"threshold", "MaxBoxAcc", "V2_30", "V2_50", "V2_70", "protocol"});
  const std::vector<double>& cuts = report.v1->cuts();
  for (std::size_t k = 0; k < cuts.size(); ++k)
    table.add({number(cuts[k]), number(percent(v1, 0, k)), number(percent(v2, 0, k)), number(percent(v2, 1, k)),
               number(percent(v2, 2, k)), report.options.protocol});
  return table.csv();
}

std::string thresholds_svg(const WsolReport& report) {
  Chart chart;
  chart.title = "Box accuracy: " + caption(report);
  chart.x_label = "threshold";
  chart.y_label = "images in %";
  chart.low = 0;
  chart.high = 100;
  const std::vector<double>& cuts = report.v1->cuts();
  const auto line = [&](const std::string& name, const BoxAccuracy::Result& r, std::size_t level) {
    ChartLine out{name, cuts, {}};
    for (std::size_t k = 0; k < cuts.size(); ++k) out.y.push_back(percent(r, level, k));
    chart.lines.push_back(out);
  };
  line("MaxBoxAcc", *report.run.v1, 0);
  for (std::size_t l = 0; l < 3; ++l) line(str("V2, IoU 0.", report.run.v2->levels[l] / 10), *report.run.v2, l);
  return svg(chart);
}

std::string precision_recall_csv(const WsolReport& report) {
  Table table({"threshold", "precision", "recall", "protocol"});
  for (const PrecisionRecall& p : report.pixels->curve())
    table.add({number(p.threshold), number(p.precision), number(p.recall), report.options.protocol});
  return table.csv();
}

std::string precision_recall_svg(const WsolReport& report) {
  Chart chart;
  chart.title = "Pixels: " + caption(report);
  chart.x_label = "recall";
  chart.y_label = "precision";
  chart.low = 0;
  chart.high = 1;
  ChartLine line{"PxAP " + fixed(*report.run.pxap, 1), {}, {}};
  for (const PrecisionRecall& p : report.pixels->curve()) {
    if (p.recall == 0) continue;
    line.x.push_back(p.recall);
    line.y.push_back(p.precision);
  }
  chart.lines.push_back(line);
  return svg(chart);
}

}  // namespace pen::eval::wsol
