#include "eval/sanity/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "data/encode.h"
#include "eval/chart.h"
#include "eval/table.h"

namespace pen::eval::sanity {
namespace {
namespace fs = std::filesystem;

const std::string pictures_folder = "pictures";

void write_means(JsonWriter& json, const Means& means) {
  json.begin_object();
  for (std::size_t k = 0; k < means.size(); ++k) json.field(MapScores::names[k], means[k].mean);
  json.end_object();
}

void write_details(JsonWriter& json, const Heading& heading, const Means& means) {
  json.begin_object().field("kind", heading.kind).field("layer", heading.layer);
  for (std::size_t k = 0; k < MapScores::names.size(); ++k) {
    const Mean& m = means[k];
    json.key(MapScores::names[k]).begin_object().field("mean", m.mean);
    if (m.interval) json.field("low", m.interval->low).field("high", m.interval->high);
    json.field("images", m.defined).field("undefined", m.undefined).end_object();
  }
  json.end_object();
}

}  // namespace

std::vector<std::string> Report::kinds() const {
  std::vector<std::string> out;
  for (const Heading& heading : headings)
    if (out.empty() || out.back() != heading.kind) out.push_back(heading.kind);
  return out;
}

std::string scores_json(const Report& report) {
  JsonWriter json(true);
  if (report.check == "drt") {
    write_means(json, report.means.at(0));
    return json.text() + "\n";
  }
  json.begin_object();
  for (const std::string& kind : report.kinds()) {
    json.key(kind).begin_object();
    for (std::size_t h = 0; h < report.headings.size(); ++h) {
      if (report.headings[h].kind != kind) continue;
      json.key(report.headings[h].layer);
      write_means(json, report.means.at(h));
    }
    json.end_object();
  }
  return json.end_object().text() + "\n";
}

std::string details_json(const Report& report) {
  JsonWriter json(true);
  json.begin_object().field("check", report.check).field("protocol", report.protocol);
  json.field("version", report.version).field("images", report.paths.size());
  json.field("undefined_figures",
             report.nan_counts ? "make the mean undefined, as numpy.mean does" : "are left out of the mean");
  json.key("bootstrap").begin_object().field("resamples", report.bootstrap.resamples);
  json.field("level", report.bootstrap.level).end_object();
  json.key("run").begin_object();
  for (const auto& [name, value] : report.facts) json.key(name).raw(value);
  json.end_object().key("headings").begin_array();
  for (std::size_t h = 0; h < report.headings.size(); ++h) write_details(json, report.headings[h], report.means.at(h));
  return json.end_array().end_object().text() + "\n";
}

std::string scores_csv(const Report& report) {
  std::vector<std::string> columns{"kind", "layer"};
  for (const auto name : MapScores::names)
    for (const char* part : {"", "_low", "_high", "_undefined"}) columns.push_back(str(name, part));
  Table table(columns);
  const auto number = [](double v) { return std::isfinite(v) ? fmt::format("{}", v) : std::string{}; };
  for (std::size_t h = 0; h < report.headings.size(); ++h) {
    std::vector<std::string> row{report.headings[h].kind, report.headings[h].layer};
    for (const Mean& m : report.means.at(h)) {
      row.push_back(number(m.mean));
      row.push_back(m.interval ? number(m.interval->low) : "");
      row.push_back(m.interval ? number(m.interval->high) : "");
      row.push_back(std::to_string(m.undefined));
    }
    table.add(row);
  }
  return table.csv();
}

std::string images_csv(const Report& report) {
  std::vector<std::string> columns{"kind", "layer", "path"};
  for (const auto name : MapScores::names) columns.emplace_back(name);
  Table table(columns);
  for (const Heading& heading : report.headings) {
    PEN_CHECK(heading.images.size() == report.paths.size(), "sanity check: ", heading.images.size(), " figures of ",
              heading.layer, " for ", report.paths.size(), " images");
    for (std::size_t i = 0; i < report.paths.size(); ++i) {
      std::vector<std::string> row{heading.kind, heading.layer, report.paths[i]};
      for (const double v : heading.images[i].values())
        row.push_back(std::isnan(v) ? std::string{} : fmt::format("{}", v));
      table.add(row);
    }
  }
  return table.csv();
}

std::string curves_svg(const Report& report, const std::string& kind) {
  Chart chart;
  for (const Heading& heading : report.headings)
    if (heading.kind == kind) chart.categories.push_back(heading.layer);
  if (chart.categories.size() < 2) return {};
  chart.title = kind == "cascading" ? "cascading: randomised from the last layer up to this one"
                                    : "independent: only this layer randomised";
  chart.y_label = "likeness to the original map";
  chart.high = 1;
  chart.low = 0;
  chart.markers = true;
  chart.height = 380;
  for (std::size_t k = 0; k < MapScores::names.size(); ++k) {
    ChartLine line{std::string(MapScores::names[k]), {}, {}};
    for (std::size_t h = 0; h < report.headings.size(); ++h) {
      if (report.headings[h].kind != kind) continue;
      const double value = report.means.at(h)[k].mean;
      line.x.push_back(static_cast<double>(line.x.size()));
      line.y.push_back(value);
      if (value < *chart.low) chart.low = std::max(-1.0, std::floor(value * 5) / 5);
    }
    chart.lines.push_back(std::move(line));
  }
  return svg(chart);
}

std::string means_table(const Report& report) {
  const bool kinds = report.kinds().size() > 1;
  std::vector<std::string> columns{"layer"};
  for (const auto name : MapScores::names) columns.emplace_back(name);
  columns.push_back("undefined");
  Table table(columns);
  for (std::size_t h = 0; h < report.headings.size(); ++h) {
    const Heading& heading = report.headings[h];
    std::vector<std::string> row{kinds ? heading.kind + " " + heading.layer : heading.layer};
    std::int64_t undefined = 0;
    for (const Mean& m : report.means.at(h)) {
      row.push_back(fixed(m.mean, 4));
      undefined += m.undefined;
    }
    row.push_back(std::to_string(undefined));
    table.add(row);
  }
  return table.markdown();
}

void open_results(const std::string& folder, bool overwrite) {
  std::error_code error;
  PEN_CHECK_AS(usage, !fs::exists(folder, error) || fs::is_directory(folder, error), "--output_path: '", folder,
               "' is a file, a folder was expected");
  if (fs::exists(fs::path(folder) / "scores.json", error) && !overwrite)
    fail(ErrorKind::usage, str("'", folder, "' holds the results of another check"),
         "choose another --output_path, or replace them with --overwrite");
  make_folders(folder);
}

std::vector<std::string> write_report(const Report& report, const std::string& folder) {
  std::vector<std::string> names;
  const auto write = [&](const std::string& name, const std::string& text) {
    if (text.empty()) return;
    write_file((fs::path(folder) / name).string(), text);
    names.push_back(name);
  };
  // Pictures of an earlier check with other layers would lie about this one.
  fs::remove_all(fs::path(folder) / pictures_folder);
  fs::remove(fs::path(folder) / "scores.json");
  if (!report.pictures.empty()) make_folders((fs::path(folder) / pictures_folder).string());
  for (const HeadingPicture& p : report.pictures) {
    const Heading& heading = report.headings.at(p.heading);
    const auto first = std::find_if(report.headings.begin(), report.headings.end(),
                                    [&](const Heading& h) { return h.kind == heading.kind; });
    const std::string name =
        fmt::format("{}/{}_{:02d}_{}.png", pictures_folder, heading.kind,
                    p.heading - static_cast<std::size_t>(first - report.headings.begin()), heading.layer);
    write_png((fs::path(folder) / name).string(), p.image.height, p.image.width, 3, p.image.rgb);
    names.push_back(name);
  }
  write("scores.csv", scores_csv(report));
  write("images.csv", images_csv(report));
  for (const std::string& kind : report.kinds()) write(kind + ".svg", curves_svg(report, kind));
  write("index.html", page_html(report));
  write("details.json", details_json(report));
  write("scores.json", scores_json(report));
  return names;
}

}  // namespace pen::eval::sanity
