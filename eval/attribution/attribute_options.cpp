#include <algorithm>

#include "base/check.h"
#include "base/option_rules.h"
#include "eval/attribution/registry.h"
#include "eval/attribution/run_attribute.h"
#include "eval/options.h"
#include "eval/panel.h"
#include "models/classifier_options.h"

namespace pen {
namespace {

OptionTable make_attribute_table() {
  OptionsOf<AttributeOptions> table;
  using A = AttributeOptions;
  table.group("What is explained");
  table.add("images", &A::images, "image files, folders of images, or - for a list of them on stdin")
      .placeholder("IMAGE|FOLDER...")
      .by_place();
  table.add("val_json", &A::val_json, "metadata of images instead, with their labels").placeholder("FILE").or_none();
  table
      .add("root", &A::root,
           "folder that images are filed relative to; none: the metadata's root, or the folder that was named")
      .placeholder("FOLDER")
      .or_none();
  table.add("method", &A::method, "attribution methods a,b,c, or casme for a masker's masks")
      .placeholder("NAME,...")
      .also("torchray_method")
      .or_none();
  table.add("resnet_path", &A::resnet_path, "the classifier that is explained").placeholder("FILE").or_none();
  add_arch(table);
  add_fuse(table);
  table
      .add("casm_path", &A::casm_path,
           "casme: the masker's checkpoint; methods: a checkpoint whose classifier is explained")
      .placeholder("FILE")
      .or_none();
  table
      .add(
          "classifier_load_mode", &A::classifier_load_mode,
          "pickled: the classifier of casm_path, or of resnet_path where there is none; original: that of resnet_path; "
          "path:FILE: another")
      .placeholder("MODE");
  table.add("use_p", &A::use_p, "target area for a masker with add_prob_layers").between(0, 1);
  table.add("limit", &A::limit, "explain the first so many images only; 0: all").at_least(0);
  table.add("list_layers", &A::list_layers, "print the layers that --layer may name, and their shapes").of_this_call();
  table.add("list_methods", &A::list_methods, "print all methods with formula, paper and cost").of_this_call();

  add_method_options(table);

  table.group("How");
  table.add("break_ratio", &A::break_ratio, "resize both sides to the input's, instead of cutting the longer one");
  table.add("input_size", &A::input_size, "side of the square input; 0: the checkpoint's, or 224").between(0, 2048);

  table.group("Results");
  table
      .add("output_path", &A::output_path,
           "folder for raw maps, <image id>.npy, and pictures; of several methods one folder each in it")
      .placeholder("FOLDER")
      .or_none();
  table.add("overwrite", &A::overwrite, "write into a folder that has files in it").of_this_call();
  table
      .add("pictures", &A::pictures,
           "beside each map: panel (image, map, overlay, and what they show), map or overlay alone, none; grid: one "
           "picture of methods x images")
      .one_of({"panel", "map", "overlay", "grid", "none"});
  table.add("color_map", &A::color_map, "colours of maps in pictures").one_of({"viridis", "inferno", "jet", "gray"});
  table
      .add("normalize", &A::normalize,
           "how maps become colours: from their smallest to their largest value (minmax), or as they are, cut to 0..1")
      .one_of({"minmax", "unit"});

  table.group("Data");
  table.add("workers", &A::workers, "threads that read images; 0: the main thread does").between(0, 1024);
  table.add("batch_size", &A::batch_size, "images at a time, 32 at most").between(1, 65536);

  add_compute_options(table);
  add_log_options(table, "one JSON object for each map on stdout");
  return table;
}

}  // namespace

const OptionTable& attribute_options() {
  static const OptionTable table = make_attribute_table();
  return table;
}

void resolve(AttributeOptions& o, OptionValues& values) {
  if (o.list_methods) return;
  const ClassifierSource source = parse_classifier_load_mode(o.classifier_load_mode);
  rules::check_input_size(o.input_size);
  if (o.list_layers) {
    PEN_CHECK_AS(usage, !o.resnet_path.empty() || !o.casm_path.empty() || source.kind == ClassifierSource::Kind::file,
                 "--list_layers needs a classifier: --resnet_path or --casm_path");
    return;
  }
  PEN_CHECK_AS(usage, !o.method.empty(), "--method is missing: it names what is run, --list_methods shows all");
  const std::vector<std::string> methods = parse_methods(o.method);
  const bool masker = std::find(methods.begin(), methods.end(), "casme") != methods.end();
  PEN_CHECK_AS(usage, !o.output_path.empty(), "--output_path is missing");
  PEN_CHECK_AS(usage, o.images.empty() != o.val_json.empty(),
               o.images.empty() ? "there is nothing to explain: name images, folders or --val_json"
                                : "images are named one by one and by --val_json: use one of them");
  PEN_CHECK_AS(usage, !masker || !o.casm_path.empty(), "--method casme needs --casm_path, the masker's checkpoint");
  PEN_CHECK_AS(usage, !o.casm_path.empty() || !o.resnet_path.empty() || source.kind == ClassifierSource::Kind::file,
               "there is no classifier to explain: --resnet_path, or --casm_path for a checkpoint's own");
  PEN_CHECK_AS(usage, source.kind != ClassifierSource::Kind::original || !o.resnet_path.empty(),
               "--classifier_load_mode original needs --resnet_path");
  rules::check_effect(values, masker, {"use_p"}, "no masker is run");
  rules::check_effect(values, o.pictures != "none", {"color_map", "normalize"}, "--pictures is none");
  check_method_options(values, methods);
  target_of(o, !o.val_json.empty());
}

}  // namespace pen
