#include "eval/options.h"

#include <algorithm>

#include "base/nearest.h"
#include "base/option_rules.h"
#include "eval/attribution/registry.h"
#include "models/classifier_options.h"
#include "models/infiller_options.h"

namespace pen {
namespace {

// Everything that --mode may be.
std::vector<std::string> score_modes() {
  std::vector<std::string> modes = {"casme", "max", "min", "none", "center", "ground_truth", "external"};
  for (const std::string& name : eval::attribution_names())
    if (name != "center") modes.push_back(name);
  // As the reference has them.
  modes.insert(modes.end(), {"torchray_grad_cam", "torchray_guided_backprop"});
  return modes;
}

bool is_attribution(const ScoreRunOptions& options) {
  return options.mode != "center" && eval::find_attribution(options.mode);
}

template <class T>
void add_infilling(OptionsOf<T>& table, const std::string& use) {
  table.group("Infilling");
  add_infiller_options(table);
  table.add("do_infill_for_mask_in", &T::do_infill_for_mask_in,
            use + " the infilled masked-in image; neither side named: both");
  table.add("do_infill_for_mask_out", &T::do_infill_for_mask_out, use + " the infilled masked-out image");
}

OptionTable make_score_table() {
  OptionsOf<ScoreRunOptions> table;
  using S = ScoreRunOptions;
  table.group("What is scored");
  table.add("val_json", &S::val_json, "metadata of the images").placeholder("FILE").must_be_given();
  table.add("bboxes_path", &S::bboxes_path, "their annotated boxes").placeholder("FILE").must_be_given();
  table
      .add("mode", &S::mode,
           "casme: the masks of a masker; external: boxes from a file; max to ground_truth: baselines; an attribution "
           "method: its maps")
      .one_of(score_modes())
      .must_be_given();
  table
      .add("casm_path", &S::casm_path,
           "casme: the masker's checkpoint; external: the file of boxes; a method: the checkpoint whose classifier it "
           "explains")
      .placeholder("FILE")
      .or_none();
  table
      .add("classifier_load_mode", &S::classifier_load_mode,
           "casme and methods: pickled is the checkpoint's own classifier, original that of resnet_path, path:FILE "
           "another; methods without casm_path: that of resnet_path")
      .placeholder("MODE");
  table
      .add("resnet_path", &S::resnet_path,
           "the original classifier, which judges the crops of the saliency metric; none: the checkpoint's own")
      .placeholder("FILE")
      .or_none();
  add_arch(table);
  add_fuse(table);
  table.add("use_p", &S::use_p, "target area for a masker with add_prob_layers").between(0, 1);
  table
      .add("masks_path", &S::masks_path,
           "true pixel masks, FOLDER/CLASS/NAME.png as sample writes them: adds the mean IoU with them")
      .placeholder("FOLDER")
      .or_none();

  table.group("How");
  table.add("protocol", &S::protocol, "paper: as the published numbers were made; strict: its quirks repaired")
      .one_of({"paper", "strict"});
  table.add("break_ratio", &S::break_ratio, "resize both sides to the input's, instead of cutting the longer one");
  table.add("erode", &S::erode, "erosions of the binarised mask before its component is chosen").between(0, 1024);
  table.add("dilate", &S::dilate, "dilations of it").between(0, 1024);
  table.add("pot", &S::pot, "fraction of the images that is scored, from the start of the list").above(0).most = 1;
  table.add("limit", &S::limit, "score the first so many images only; 0: all").at_least(0);
  table.add("input_size", &S::input_size, "side of the square input; 0: the checkpoint's, or 224").between(0, 2048);

  add_method_options(table);

  add_infilling(table, "casme: also the accuracy on");
  table.group("Results");
  table.add("output_path", &S::output_path, "JSON file for the totals").placeholder("FILE").must_be_given();
  table.add("record_bboxes", &S::record_bboxes, "file for the predicted boxes, readable by mode external")
      .placeholder("FILE")
      .or_none();
  table.add("per_image", &S::per_image, "file for the results of each image, .csv or .jsonl")
      .placeholder("FILE")
      .or_none();
  add_interval_options(table);

  add_read_options(table, "images that std_mask is taken over; 32 at most are in memory at once");

  add_compute_options(table);
  add_log_options(table, "the totals as JSON on stdout too");
  table.group("Accepted without effect");
  table.ignore("print_freq", "of the reference; --progress says how progress is shown");
  table.ignore("not_normalize", "of the reference, where it has no effect either");
  return table;
}

OptionTable make_explain_table() {
  OptionsOf<ExplainOptions> table;
  using E = ExplainOptions;
  table.group("What is explained");
  table.add("images", &E::images, "image files, folders of images, or - for a list of them on stdin")
      .placeholder("IMAGE|FOLDER...")
      .by_place()
      .must_be_given();
  table.add("casm_path", &E::casm_path, "the masker's checkpoint").placeholder("FILE").or_none();
  table
      .add("method", &E::method,
           "methods a,b,c (casme for the masker): their maps and a grid of methods x images, instead of a masker's "
           "panels")
      .placeholder("NAME,...")
      .or_none();
  table
      .add("resnet_path", &E::resnet_path,
           "with --method: the classifier that is explained, where it is no checkpoint's")
      .placeholder("FILE")
      .or_none();
  table
      .add("classifier_load_mode", &E::classifier_load_mode,
           "pickled: the checkpoint's own classifier; path:FILE: another; original: that of resnet_path")
      .placeholder("MODE");
  table.add("class_names", &E::class_names, "metadata JSON whose classes name the predictions; none: the checkpoint's")
      .placeholder("FILE")
      .or_none();
  table.add("class_id", &E::class_id, "class for a masker with add_class_ids; -1: the predicted one").at_least(-1);
  add_arch(table);
  add_fuse(table);
  table.add("use_p", &E::use_p, "target area for a masker with add_prob_layers").between(0, 1);
  table.add("limit", &E::limit, "explain the first so many images only; 0: all").at_least(0);

  table.group("How");
  table.add("protocol", &E::protocol, "how the box is drawn from the mask").one_of({"paper", "strict"});
  table.add("break_ratio", &E::break_ratio, "resize both sides to the input's, instead of cutting the longer one");
  table
      .add("resize", &E::resize,
           "what the shorter side is resized to before the middle is cut, such as 256 for 224; 0: the input's side")
      .between(0, 16384);
  table.add("batch_size", &E::batch_size, "images at a time").between(1, 65536);

  add_method_options(table);

  add_infilling(table, "also show and classify");
  table.group("Results");
  table.add("color_map", &E::color_map, "with --method: colours of maps").one_of({"viridis", "inferno", "jet", "gray"});
  table
      .add("normalize", &E::normalize,
           "with --method: maps in colours from their smallest to their largest value (minmax), or as they are")
      .one_of({"minmax", "unit"});
  table.add("output_path", &E::output_path, "folder for panels or grid (.png), raw maps (.npy) and predictions (.json)")
      .placeholder("FOLDER")
      .must_be_given();

  add_compute_options(table);
  add_log_options(table, "one JSON object for each image on stdout");
  return table;
}

}  // namespace

const OptionTable& score_options() {
  static const OptionTable table = make_score_table();
  return table;
}

const OptionTable& explain_options() {
  static const OptionTable table = make_explain_table();
  return table;
}

ClassifierSource parse_classifier_load_mode(const std::string& text) {
  using Kind = ClassifierSource::Kind;
  if (text == "pickled") return {Kind::checkpoint, {}};
  if (text == "original") return {Kind::original, {}};
  if (text.starts_with("path:") && text.size() > 5) return {Kind::file, text.substr(5)};
  fail(ErrorKind::usage, str("--classifier_load_mode: '", text, "' is none of pickled, original, path:FILE"),
       did_you_mean(text, {"pickled", "original"}));
}

void resolve(ScoreRunOptions& options, OptionValues& values) {
  const bool masker = options.mode == "casme", external = options.mode == "external", method = is_attribution(options);
  const ClassifierSource classifier = parse_classifier_load_mode(options.classifier_load_mode);
  PEN_CHECK_AS(usage, !masker || !options.casm_path.empty(), "--mode casme needs --casm_path, the masker's checkpoint");
  PEN_CHECK_AS(usage, !external || !options.casm_path.empty(), "--mode external needs --casm_path, the file of boxes");
  PEN_CHECK_AS(usage,
               !method || !options.casm_path.empty() || !options.resnet_path.empty() ||
                   classifier.kind == ClassifierSource::Kind::file,
               "--mode ", options.mode,
               " needs the classifier that it explains: --resnet_path, or --casm_path for a checkpoint's own");
  PEN_CHECK_AS(usage, masker || method || !options.resnet_path.empty(), "--mode ", options.mode,
               " needs --resnet_path, the classifier that judges the crops of the saliency metric");
  PEN_CHECK_AS(usage, classifier.kind != ClassifierSource::Kind::original || !options.resnet_path.empty(),
               "--classifier_load_mode original needs --resnet_path");
  const std::string why = "--mode is " + options.mode;
  rules::check_effect(values, masker || external || method, {"casm_path"}, why);
  rules::check_effect(values, masker || method, {"classifier_load_mode", "erode", "dilate"}, why);
  rules::check_effect(values, masker, {"use_p"}, why);
  rules::check_effect(values, method, {"target"}, why);
  check_method_options(values, {options.mode});
  if (method) target_of(options, true);
  rules::check_effect(values, masker || method, {"infiller_model"}, why);
  resolve_infilling(options, values);
  resolve_intervals(options, values);
  PEN_CHECK_AS(usage, !(options.erode > 0 && options.dilate > 0), "--erode and --dilate contradict each other");
  PEN_CHECK_AS(
      usage, options.per_image.empty() || options.per_image.ends_with(".csv") || options.per_image.ends_with(".jsonl"),
      "--per_image: '", options.per_image, "' ends neither in .csv nor in .jsonl");
  rules::check_input_size(options.input_size);
}

void resolve(ExplainOptions& options, OptionValues& values) {
  using Kind = ClassifierSource::Kind;
  const Kind source = parse_classifier_load_mode(options.classifier_load_mode).kind;
  resolve_infilling(options, values);
  if (options.method.empty()) {
    PEN_CHECK_AS(usage, !options.casm_path.empty(),
                 "--casm_path is missing: a masker's checkpoint; or --method names attribution methods");
    PEN_CHECK_AS(usage, source != Kind::original,
                 "--classifier_load_mode original is for score; here path:FILE names another classifier");
    rules::check_effect(values, false, {"resnet_path", "target", "color_map", "normalize"}, "--method is not given");
    check_method_options(values, {});
    return;
  }
  const std::vector<std::string> methods = parse_methods(options.method);
  const bool masker = std::find(methods.begin(), methods.end(), "casme") != methods.end();
  PEN_CHECK_AS(usage, !masker || !options.casm_path.empty(),
               "--method casme needs --casm_path, the masker's checkpoint");
  PEN_CHECK_AS(usage, !options.casm_path.empty() || !options.resnet_path.empty() || source == Kind::file,
               "there is no classifier to explain: --resnet_path, or --casm_path for a checkpoint's own");
  PEN_CHECK_AS(usage, source != Kind::original || !options.resnet_path.empty(),
               "--classifier_load_mode original needs --resnet_path");
  rules::check_effect(values, masker, {"use_p"}, "no masker is run");
  rules::check_effect(values, false, {"class_id", "class_names", "protocol", "resize", "infiller_model"},
                      "--method is given (--target names the class that is explained)");
  check_method_options(values, methods);
  target_of(options, false);
}

}  // namespace pen
