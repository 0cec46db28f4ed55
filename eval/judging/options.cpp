#include "eval/judging/options.h"

#include <algorithm>

#include "base/option_rules.h"
#include "base/words.h"
#include "eval/attribution/registry.h"
#include "eval/judging/metrics.h"
#include "eval/map_source.h"
#include "eval/options.h"

namespace pen {
namespace {

OptionTable make_evaluate_table() {
  OptionsOf<EvaluateOptions> table;
  using E = EvaluateOptions;
  table.group("Whose maps");
  table
      .add("methods", &E::methods,
           "casme, attribution methods and controls (zeros, ones, center, gaussian), with commas between; all: every "
           "one of them, casme if casm_base_path is given")
      .also("method")
      .placeholder("NAME,NAME..")
      .or_none();
  table.add("maps", &E::maps, "also somebody's maps, FOLDER/<image id>.npy, with values in [0, 1]")
      .placeholder("FOLDER")
      .or_none();
  table.add("scale_maps", &E::scale_maps, "scale each of these to 0..1 by itself, as attribution maps are");
  add_judged_networks(table);
  add_method_options(table);
  add_judged_images(table);
  table.group("How");
  std::string names;
  for (const std::string& name : eval::metric_names()) names += (names.empty() ? "" : ", ") + name;
  table.add("metrics", &E::metrics, "of these, with commas between: " + names).placeholder("NAME,NAME..");
  table.add("protocol", &E::protocol, "of LE, and of maps without variation: paper or strict")
      .one_of({"paper", "strict"});
  table.add("curve_steps", &E::curve_steps, "of insertion and deletion; 28 are 224*8 pixels each at 224x224")
      .between(1, 10000);
  table.add("sensitivity_samples", &E::sensitivity_samples, "noisy images of max_sensitivity").between(1, 10000);
  table.add("sensitivity_radius", &E::sensitivity_radius, "of their noise, in normalised values").above(0);
  table.add("cam_curve_interval", &E::cam_curve_interval, "thresholds of MaxBoxAcc and PxAP").between(0.0001, 1);
  add_interval_options(table);
  table.group("Results");
  table
      .add("output_path", &E::output_path,
           "folder for <method>.json, <method>.csv (each image), and table.md, table.csv, table.tex of all methods")
      .placeholder("FOLDER")
      .must_be_given();
  table.add("overwrite", &E::overwrite, "replace results that are there").of_this_call();
  add_read_options(table);
  add_compute_options(table);
  add_log_options(table, "the results of each method as JSON on stdout");
  return table;
}

OptionTable make_compare_table() {
  OptionsOf<CompareOptions> table;
  using C = CompareOptions;
  table.group("What is compared");
  table
      .add("files", &C::files,
           "two results of each image on the same images: .csv files of evaluate, wsol or score --per_image, or the "
           ".json beside them")
      .placeholder("A B")
      .by_place()
      .must_be_given();
  table.add("columns", &C::columns, "only these, with commas between; none: all numbers that both files have")
      .placeholder("NAME,NAME..")
      .or_none();
  table.add("common", &C::common, "compare the images that both files have, where one has more");
  table.group("How");
  table.add("bootstrap", &C::bootstrap, "resamples for the confidence intervals").between(1, 1000000);
  table.add("confidence", &C::confidence, "level of the intervals").between(0.5, 0.9999);
  table.add("seed", &C::seed, "of the resamples").at_least(0);
  table.group("Results");
  table.add("output", &C::output, "file for the table: .md for Markdown, .csv for CSV, .tex for LaTeX")
      .placeholder("FILE")
      .or_none();
  add_log_options(table, "the comparison as JSON on stdout");
  return table;
}

}  // namespace

const OptionTable& evaluate_options() {
  static const OptionTable table = make_evaluate_table();
  return table;
}

const OptionTable& compare_options() {
  static const OptionTable table = make_compare_table();
  return table;
}

std::vector<std::string> words_of(const std::string& text, const std::string& option) {
  std::vector<std::string> words;
  for (const std::string_view item : comma_items(text)) {
    const std::string word(item);
    PEN_CHECK_AS(usage, !word.empty(), option, ": '", text, "' has an empty name");
    PEN_CHECK_AS(usage, std::find(words.begin(), words.end(), word) == words.end(), option, ": '", word,
                 "' is there twice");
    words.push_back(word);
  }
  return words;
}

void resolve(EvaluateOptions& options, OptionValues& values) {
  PEN_CHECK_AS(usage, !options.methods.empty() || !options.maps.empty(),
               "--methods says whose maps are judged, or --maps where they are");
  resolve_judged_images(options, values);
  rules::check_effect(values, !options.maps.empty(), {"scale_maps"}, "there are no --maps");
  for (const std::string& name : words_of(options.metrics, "--metrics")) eval::metric(name);
  target_of(options, true);
  parse_classifier_load_mode(options.classifier_load_mode);
  resolve_intervals(options, values);
  const bool casme = !options.casm_base_path.empty();
  if (options.methods == "all") {
    options.methods = casme ? "casme" : "";
    for (const std::string& name : eval::attribution_names())
      options.methods += (options.methods.empty() ? "" : ",") + name;
    for (const std::string& name : eval::control_names())
      if (!eval::find_attribution(name)) options.methods += "," + name;
  }
  check_method_options(values,
                       options.methods.empty() ? std::vector<std::string>{} : words_of(options.methods, "--methods"));
  if (options.methods.empty()) return;
  for (const std::string& name : words_of(options.methods, "--methods")) {
    eval::check_map_method(name);
    PEN_CHECK_AS(usage, name != "casme" || casme, "--methods casme needs --casm_base_path");
    PEN_CHECK_AS(usage, casme || !options.resnet_path.empty() || !eval::control_map(name, 8).empty(), "--methods ",
                 name, " needs --resnet_path, the classifier that it explains");
  }
}

void resolve(CompareOptions& options, OptionValues&) {
  PEN_CHECK_AS(usage, options.files.size() == 2, "compare takes two files, ", options.files.size(), " were given");
  PEN_CHECK_AS(usage,
               options.output.empty() || options.output.ends_with(".md") || options.output.ends_with(".csv") ||
                   options.output.ends_with(".tex"),
               "--output: '", options.output, "' ends in none of .md, .csv, .tex");
  if (!options.columns.empty()) words_of(options.columns, "--columns");
}

}  // namespace pen
