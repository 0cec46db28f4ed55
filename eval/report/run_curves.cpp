#include "eval/report/run_curves.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>

#include "base/check.h"
#include "base/json.h"

namespace pen::eval {
namespace {
namespace fs = std::filesystem;

// What one chart shows: names in the log, and how people read them.
struct Panel {
  const char *title, *unit;
  std::vector<std::pair<const char*, const char*>> figures;
};
const std::vector<Panel>& panels() {
  static const std::vector<Panel> all = {
      {"loss",
       "loss",
       {{"classifier_loss", "clean"},
        {"masked_in___classifier_loss", "masked in"},
        {"masked_out___classifier_loss", "masked out"},
        {"masked_total___loss", "total"}}},
      {"mask", "share of the image", {{"mask_avg", "area"}, {"mask_std", "deviation of the area"}}},
      {"accuracy", "percent", {{"acc", "clean"}, {"masked_in___acc", "masked in"}, {"masked_out___acc", "masked out"}}},
  };
  return all;
}

// One figure of a log: its steps and values, in the log's order.
struct Series {
  std::vector<double> step, value;
};
struct Log {
  std::int64_t lines = 0;
  double last_step = 0;
  std::map<std::string, Series> figures;
};

Log read_log(const std::string& path) {
  Log log;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    // A last line that a crash cut short is none.
    if (line.empty() || (in.eof() && line.back() != '}')) continue;
    ++log.lines;
    const rapidjson::Document json = parse_json(line, str(path, ", line ", log.lines));
    PEN_CHECK_AS(data, json.IsObject() && json.HasMember("step") && json["step"].IsInt64(), "'", path, "', line ",
                 log.lines, ": no object with a step");
    const auto step = static_cast<double>(json["step"].GetInt64());
    log.last_step = std::max(log.last_step, step);
    for (const Panel& panel : panels()) {
      for (const auto& [name, words] : panel.figures) {
        if (!json.HasMember(name) || !json[name].IsNumber()) continue;
        Series& series = log.figures[name];
        series.step.push_back(step);
        series.value.push_back(json[name].GetDouble());
      }
    }
  }
  return log;
}

// Means over `points` pieces of the steps; nothing changes where there are no more steps than that.
ChartLine thinned(const std::string& name, const Series& series, double last_step, std::int64_t points) {
  const double width = (last_step + 1) / static_cast<double>(points);
  ChartLine line{name, {}, {}};
  if (width <= 1) return {name, series.step, series.value};
  std::map<std::int64_t, std::pair<double, std::int64_t>> pieces;
  for (std::size_t i = 0; i < series.step.size(); ++i) {
    auto& [sum, count] = pieces[static_cast<std::int64_t>(series.step[i] / width)];
    sum += series.value[i];
    ++count;
  }
  for (const auto& [piece, mean] : pieces) {
    line.x.push_back((static_cast<double>(piece) + 0.5) * width);
    line.y.push_back(mean.first / static_cast<double>(mean.second));
  }
  return line;
}

}  // namespace

bool is_run(const std::string& folder) {
  std::error_code error;
  return fs::exists(fs::path(folder) / "log" / "train.jsonl", error);
}

std::vector<Chart> run_charts(const std::string& folder, std::int64_t points) {
  const Log train = read_log(folder + "/log/train.jsonl"), val = read_log(folder + "/log/val.jsonl");
  PEN_CHECK_AS(data, train.lines > 0, "'", folder, "/log/train.jsonl' holds no step");
  std::vector<Chart> out;
  for (const Panel& panel : panels()) {
    Chart chart;
    chart.title = panel.title;
    if (train.last_step + 1 > static_cast<double>(points))
      chart.title += str(", means over ", std::ceil((train.last_step + 1) / static_cast<double>(points)), " steps");
    chart.x_label = "step";
    chart.y_label = panel.unit;
    for (const auto& [name, words] : panel.figures) {
      if (const auto it = train.figures.find(name); it != train.figures.end())
        chart.lines.push_back(thinned(words, it->second, train.last_step, points));
      if (const auto it = val.figures.find(name); it != val.figures.end())
        chart.lines.push_back({str("val ", words), it->second.step, it->second.value});
    }
    if (!chart.lines.empty()) out.push_back(std::move(chart));
  }
  return out;
}

}  // namespace pen::eval
