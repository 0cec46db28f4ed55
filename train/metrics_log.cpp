#include "train/metrics_log.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include "base/file.h"
#include "base/json.h"

namespace pen {
namespace {

// Keeps the lines of a file whose number `key` is below `limit`, and shows each of them.
void keep_lines(const std::string& path, const char* key, std::int64_t limit,
                const std::function<void(const rapidjson::Document&)>& show) {
  if (!std::filesystem::exists(path)) return;
  std::ifstream in(path);
  std::string kept, line;
  while (std::getline(in, line)) {
    if (line.empty() || line.back() != '}') continue;  // a last line that a crash cut short
    const rapidjson::Document json = parse_json(line, path);
    if (!json.IsObject() || !json.HasMember(key) || !json[key].IsInt64() || json[key].GetInt64() >= limit) continue;
    kept += line + "\n";
    if (show) show(json);
  }
  write_file(path, kept);
}

void keep_rows(const std::string& path, std::int64_t epochs) {
  if (!std::filesystem::exists(path)) return;
  std::ifstream in(path);
  std::string kept, line;
  for (std::int64_t i = 0; i <= epochs && std::getline(in, line); ++i) kept += line + "\n";
  write_file(path, kept);
}

std::string json_line(std::int64_t epoch, std::int64_t step, const Figures& figures, const char* event = nullptr) {
  JsonWriter out;
  out.begin_object();
  if (event) out.field("event", std::string(event));
  out.field("epoch", epoch).field("step", step);
  for (const auto& [name, value] : figures) out.field(name, value);
  return out.end_object().text();
}

// The folder of a run, which is there from here on.
const std::string& made(const std::string& folder) {
  make_folders(folder + "/log");
  return folder;
}

}  // namespace

MetricsLog::MetricsLog(const std::string& folder, std::int64_t resume_step, std::int64_t resume_epoch, bool to_stdout)
    : folder_(folder),
      train_(nullptr, &std::fclose),
      val_(nullptr, &std::fclose),
      csv_(nullptr, &std::fclose),
      events_(made(folder), resume_step),
      to_stdout_(to_stdout) {
  keep_lines(folder + "/log/train.jsonl", "step", resume_step, [&](const rapidjson::Document& json) {
    if (!json.HasMember("epoch") || !json["epoch"].IsInt64() || json["epoch"].GetInt64() != resume_epoch) return;
    Figures figures;
    for (const auto& member : json.GetObject()) {
      const std::string name = member.name.GetString();
      if (name == "epoch" || name == "step") continue;
      figures.emplace_back(name, member.value.IsNumber() ? member.value.GetDouble() : std::nan(""));
    }
    resumed_.push_back(std::move(figures));
  });
  keep_lines(folder + "/log/val.jsonl", "epoch", resume_epoch, nullptr);
  keep_rows(folder + "/metrics.csv", resume_epoch);
  train_ = open(folder + "/log/train.jsonl");
  val_ = open(folder + "/log/val.jsonl");
  csv_has_header_ =
      std::filesystem::exists(folder + "/metrics.csv") && std::filesystem::file_size(folder + "/metrics.csv") > 0;
  csv_ = open(folder + "/metrics.csv");
}

MetricsLog::File MetricsLog::open(const std::string& path) {
  File file(std::fopen(path.c_str(), "a"), &std::fclose);
  PEN_CHECK(file != nullptr, "cannot append to '", path, "'");
  return file;
}

void MetricsLog::line(File& file, const std::string& text, const std::string& path) {
  const bool ok = std::fprintf(file.get(), "%s\n", text.c_str()) >= 0 && std::fflush(file.get()) == 0;
  PEN_CHECK(ok, "cannot append to '", path, "' (is the disk full?)");
}

void MetricsLog::step(std::int64_t epoch, std::int64_t step, const Figures& figures) {
  line(train_, json_line(epoch, step, figures), folder_ + "/log/train.jsonl");
  events_.scalars("train", step, figures);
  echo("step", epoch, step, figures);
}

void MetricsLog::echo(const char* event, std::int64_t epoch, std::int64_t step, const Figures& figures) const {
  if (!to_stdout_) return;
  const bool ok = std::printf("%s\n", json_line(epoch, step, figures, event).c_str()) >= 0 && std::fflush(stdout) == 0;
  PEN_CHECK(ok, "cannot write to stdout");
}

void MetricsLog::validation(std::int64_t epoch, std::int64_t step, const Figures& figures) {
  line(val_, json_line(epoch, step, figures), folder_ + "/log/val.jsonl");
  // `step` is the next one; events of steps from there on go when a run is resumed there.
  events_.scalars("val", std::max<std::int64_t>(step - 1, 0), figures);
  echo("validation", epoch, step, figures);
}

void MetricsLog::epoch(std::int64_t epoch, const Figures& figures) {
  std::string header = "epoch", row = std::to_string(epoch);
  for (const auto& [name, value] : figures) {
    header += "," + name;
    row += "," + str(value);
  }
  if (!csv_has_header_) line(csv_, header, folder_ + "/metrics.csv");
  csv_has_header_ = true;
  line(csv_, row, folder_ + "/metrics.csv");
}

Figures mean_figures(const std::vector<Figures>& logs) {
  std::map<std::string, std::pair<double, std::int64_t>> sums;
  for (const Figures& log : logs)
    for (const auto& [name, value] : log) {
      if (std::isnan(value)) continue;
      sums[name].first += value;
      ++sums[name].second;
    }
  Figures out;
  if (logs.empty()) return out;
  for (const auto& [name, value] : logs.front())
    out.emplace_back(name, sums[name].first / static_cast<double>(sums[name].second));
  return out;
}

}  // namespace pen
