// penumbra report: results of score side by side.
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "cli/commands.h"
#include "eval/results_table.h"

namespace pen::cli {
namespace {

struct Options : LogOptions {
  std::vector<std::string> results;
  std::string output;
};

const OptionTable& table() {
  static const OptionTable built = [] {
    OptionsOf<Options> t;
    t.group("What");
    t.add("results", &Options::results, "JSON files of score, or folders of them")
        .placeholder("FOLDER_OR_JSON...")
        .by_place()
        .must_be_given();
    t.add("output", &Options::output, "file for the table: .md for Markdown, .csv for CSV")
        .placeholder("FILE")
        .or_none();
    add_log_options(t, "");
    return OptionTable(t);
  }();
  return built;
}

void resolve(Options& options, OptionValues&) {
  PEN_CHECK_AS(usage, options.output.empty() || options.output.ends_with(".md") || options.output.ends_with(".csv"),
               "--output: '", options.output, "' ends neither in .md nor in .csv");
}

int run(const Options& options, const Invocation&) {
  const eval::Table results = eval::results_table(eval::score_files(options.results));
  std::fputs(results.markdown().c_str(), stdout);
  if (options.output.empty()) return 0;
  const std::string folder = std::filesystem::path(options.output).parent_path().string();
  if (!folder.empty()) make_folders(folder);
  write_file(options.output, options.output.ends_with(".csv") ? results.csv() : results.markdown());
  log::info("wrote " + options.output);
  return 0;
}

}  // namespace

Command report_command() {
  return make_command<Options>("report", "put results of score side by side in a table",
                               "  penumbra report scores/ --output table.md\n"
                               "  penumbra report scores/fix.json scores/center.json\n",
                               table(), resolve, run);
}

}  // namespace pen::cli
