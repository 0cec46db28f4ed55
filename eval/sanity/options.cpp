#include "eval/sanity/options.h"

#include <algorithm>
#include <set>

#include "base/option_rules.h"
#include "eval/attribution/registry.h"
#include "eval/options.h"

namespace pen {
namespace {

constexpr std::int64_t most_plots = 16;

OptionTable make_table() {
  OptionsOf<SanityOptions> table;
  using S = SanityOptions;
  table.group("What is tested");
  table
      .add("what", &S::what,
           "mprt: maps of the network against those of it with random layers; drt: masks of two maskers, one of them "
           "trained on shuffled labels")
      .one_of({"mprt", "drt"})
      .by_place()
      .must_be_given();
  table.add("val_json", &S::val_json, "metadata of the images").placeholder("FILE").must_be_given();
  table.add("casm_path", &S::casm_path, "mprt: the masker's checkpoint").placeholder("FILE").or_none();
  table
      .add("method", &S::method,
           "mprt: casme is the masker, any other name an attribution method on the checkpoint's classifier")
      .placeholder("NAME");
  table
      .add("classifier_load_mode", &S::classifier_load_mode,
           "mprt: pickled is the checkpoint's own classifier, original that of resnet_path, path:FILE another")
      .placeholder("MODE");
  table
      .add("resnet_path", &S::resnet_path,
           "mprt: the classifier of classifier_load_mode original, and of an attribution method without casm_path")
      .placeholder("FILE")
      .or_none();
  table.add("casm_path1", &S::casm_path1, "drt: the masker trained on true labels").placeholder("FILE").or_none();
  table.add("casm_path2", &S::casm_path2, "drt: the masker trained on train_shuffle.json")
      .placeholder("FILE")
      .or_none();
  table.add("allow_other_weights", &S::allow_other_weights,
            "drt: also where the classifiers' weights differ though neither run trained its classifier");
  table.add("use_p", &S::use_p, "target area for maskers with add_prob_layers").between(0, 1);

  table.group("How");
  table
      .add("protocol", &S::protocol,
           "paper: as the published figures were made; strict: layers start anew as the network itself was started")
      .one_of({"paper", "strict"});
  table.add("layer_depth", &S::layer_depth, "mprt: depth in the module tree of what is randomised; 2: layer4.2, ...")
      .between(1, 8);
  table.add("randomise", &S::randomise, "mprt: all layers from the last on, one layer at a time, or both tests")
      .one_of({"cascading", "independent", "both"});
  table.add("num_batches", &S::num_batches, "batches to test; 0: all; -1: one for mprt in the paper protocol, else all")
      .at_least(-1);
  table.add("limit", &S::limit, "test the first so many images only; 0: all").at_least(0);
  table.add("input_size", &S::input_size, "side of the square input; 0: the checkpoint's").between(0, 2048);
  table.add("break_ratio", &S::break_ratio, "resize both sides to the input's, instead of cutting the longer one");

  table.group("Results");
  table.add("output_path", &S::output_path, "folder for scores, tables, curves, pictures and the page")
      .placeholder("FOLDER")
      .must_be_given();
  table.add("overwrite", &S::overwrite, "replace the results of an earlier check").of_this_call();
  table.add("do_plot", &S::do_plot, "a picture for each layer");
  table.add("plot_img_i", &S::plot_img_i, "places in the first batch of the images that are drawn, from 0").at_least(0);
  add_interval_options(table, "resamples for the intervals; 0: no intervals");

  add_read_options(table, "images at a time");
  add_method_options(table);
  add_compute_options(table);
  add_log_options(table, "the means as JSON on stdout too");
  return table;
}

void resolve_mprt(const SanityOptions& o, const OptionValues& values) {
  rules::check_effect(values, false, {"casm_path1", "casm_path2", "allow_other_weights"}, "they belong to sanity drt");
  const bool masker = o.method == "casme";
  const ClassifierSource classifier = parse_classifier_load_mode(o.classifier_load_mode);
  using Kind = ClassifierSource::Kind;
  PEN_CHECK_AS(usage, !masker || !o.casm_path.empty(), "--method casme needs --casm_path, the masker's checkpoint");
  PEN_CHECK_AS(usage, classifier.kind != Kind::original || !o.resnet_path.empty(),
               "--classifier_load_mode original needs --resnet_path");
  PEN_CHECK_AS(usage, classifier.kind != Kind::checkpoint || !o.casm_path.empty() || !o.resnet_path.empty(),
               "--method ", o.method,
               " needs a classifier: --casm_path, --resnet_path, or --classifier_load_mode "
               "path:FILE");
  rules::check_effect(
      values, !masker && classifier.kind == Kind::checkpoint ? o.casm_path.empty() : classifier.kind == Kind::original,
      {"resnet_path"}, "--classifier_load_mode is " + o.classifier_load_mode);
  rules::check_effect(values, masker || classifier.kind == Kind::checkpoint, {"casm_path"},
                      "--method is " + o.method + " and --classifier_load_mode " + o.classifier_load_mode);
  const std::string why = "--method is " + o.method;
  rules::check_effect(values, masker, {"use_p"}, why);
  rules::check_effect(values, !masker, {"target"}, why);
  if (!masker) eval::attribution_method(o.method);
  check_method_options(values, {o.method});
  if (!masker) target_of(o, true);
}

void resolve_drt(const SanityOptions& o, const OptionValues& values) {
  std::vector<std::string> others = {"casm_path",   "method",   "classifier_load_mode", "resnet_path", "target",
                                     "layer_depth", "randomise"};
  others.insert(others.end(), method_option_names().begin(), method_option_names().end());
  rules::check_effect(values, false, others, "it belongs to sanity mprt");
  PEN_CHECK_AS(usage, !o.casm_path1.empty() && !o.casm_path2.empty(),
               "sanity drt needs --casm_path1 and --casm_path2, the checkpoints of two maskers");
}

}  // namespace

const OptionTable& sanity_options() {
  static const OptionTable table = make_table();
  return table;
}

void resolve(SanityOptions& o, OptionValues& values) {
  o.what == "mprt" ? resolve_mprt(o, values) : resolve_drt(o, values);
  resolve_intervals(o, values);
  rules::check_effect(values, o.do_plot, {"plot_img_i"}, "--do_plot is off");
  PEN_CHECK_AS(usage, !o.do_plot || static_cast<std::int64_t>(o.plot_img_i.size()) <= most_plots,
               "--plot_img_i: ", o.plot_img_i.size(), " images; at most ", most_plots, " are drawn");
  const std::set<std::int64_t> once(o.plot_img_i.begin(), o.plot_img_i.end());
  PEN_CHECK_AS(usage, once.size() == o.plot_img_i.size(), "--plot_img_i names an image twice");
  rules::check_input_size(o.input_size);
}

}  // namespace pen
