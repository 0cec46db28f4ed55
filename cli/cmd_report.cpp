// penumbra report: results of score side by side, and training runs as a page.
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/compute.h"
#include "eval/report/run_curves.h"
#include "eval/report/run_report.h"
#include "eval/results_table.h"

namespace pen::cli {
namespace {

struct Options : LogOptions {
  std::vector<std::string> results;
  std::string output, html, per_image, metric, device = "cpu";
  std::string checkpoint = "last.chk";
  std::int64_t images = 12;
  std::optional<double> use_p;
  bool break_ratio = false, overwrite = false;
};

const OptionTable& table() {
  static const OptionTable built = [] {
    OptionsOf<Options> t;
    t.group("What");
    t.add("results", &Options::results, "folders of training runs; JSON files of score, or folders of them")
        .placeholder("RUN|FOLDER|JSON...")
        .by_place()
        .must_be_given();
    t.add("output", &Options::output, "file for the table: .md for Markdown, .csv for CSV")
        .placeholder("FILE")
        .or_none();
    t.group("Page");
    t.add(
         "html", &Options::html,
         "file for a page of its own: curves of the runs, results, gallery; none: report.html in the first run, if any")
        .placeholder("FILE")
        .or_none();
    t.add("per_image", &Options::per_image,
          "CSV of score --per_image: the page shows its best and worst images with the masks of the first two runs")
        .placeholder("FILE")
        .or_none();
    t.add("metric", &Options::metric, "what best and worst mean; none: IoU").placeholder("NAME").or_none();
    t.add("images", &Options::images, "so many of the best and of the worst").between(1, 500);
    t.add("checkpoint", &Options::checkpoint, "the run's file whose masker draws the masks").placeholder("NAME");
    t.add("use_p", &Options::use_p, "target area for maskers with add_prob_layers").between(0, 1);
    t.add("break_ratio", &Options::break_ratio, "resize both sides to the input's, instead of cutting the longer one");
    t.add("device", &Options::device, "where the masks are made").placeholder("DEVICE");
    t.add("overwrite", &Options::overwrite, "replace the page of an earlier report").of_this_call();
    add_log_options(t, "");
    return OptionTable(t);
  }();
  return built;
}

void resolve(Options& options, OptionValues&) {
  PEN_CHECK_AS(usage, options.output.empty() || options.output.ends_with(".md") || options.output.ends_with(".csv"),
               "--output: '", options.output, "' ends neither in .md nor in .csv");
}

void write(const std::string& path, const std::string& text) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (!folder.empty()) make_folders(folder);
  write_file(path, text);
  log::info("wrote " + path);
}

int run(const Options& options, const Invocation&) {
  eval::RunReportOptions page;
  std::vector<std::string> others;
  for (const std::string& path : options.results) (eval::is_run(path) ? page.runs : others).push_back(path);
  PEN_CHECK_AS(usage, options.output.empty() || !others.empty(), "--output needs results of score");
  std::string html = options.html;
  if (html.empty() && !page.runs.empty()) html = (std::filesystem::path(page.runs[0]) / "report.html").string();
  PEN_CHECK_AS(usage, !html.empty() || options.per_image.empty(), "--per_image belongs to a page: --html is missing");
  if (!html.empty() && std::filesystem::exists(html) && !options.overwrite)
    fail(ErrorKind::usage, str("'", html, "' is there already"),
         "choose another --html, or replace it with --overwrite");
  if (!others.empty()) {
    page.scores = eval::score_files(others);
    const eval::Table results = eval::results_table(page.scores);
    std::fputs(results.markdown().c_str(), stdout);
    if (!options.output.empty())
      write(options.output, options.output.ends_with(".csv") ? results.csv() : results.markdown());
  }
  if (html.empty()) return 0;
  page.per_image = options.per_image;
  page.metric = options.metric;
  page.each = options.images;
  page.checkpoint = options.checkpoint;
  page.use_p = options.use_p;
  page.break_ratio = options.break_ratio;
  ComputeOptions compute;
  compute.device = options.device;
  write(html, eval::run_report_html(page, open_device(compute)));
  return 0;
}

}  // namespace

Command report_command() {
  return make_command<Options>(
      "report", "put results of score side by side in a table, training runs on a page",
      "  penumbra report scores/ --output table.md\n"
      "  penumbra report scores/fix.json scores/center.json\n"
      "  penumbra report runs/fix runs/ca scores/ --per_image scores/fix.csv --html report.html\n",
      table(), resolve, run);
}

}  // namespace pen::cli
