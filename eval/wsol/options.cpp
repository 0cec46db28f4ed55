#include "eval/wsol/options.h"

#include <algorithm>

#include "base/option_rules.h"
#include "eval/map_source.h"
#include "eval/options.h"

namespace pen {
namespace {

OptionTable make_table() {
  OptionsOf<WsolOptions> table;
  using W = WsolOptions;
  table.group("Whose maps");
  table
      .add("cam_loader", &W::cam_loader,
           "casme: a masker's; zeros, ones, center, gaussian: controls; torchray: the attribution method of "
           "torchray_method; or any attribution method's name")
      .placeholder("NAME")
      .or_none();
  table.add("torchray_method", &W::torchray_method, "attribution method for cam_loader torchray")
      .placeholder("NAME")
      .or_none();
  table
      .add("maps", &W::maps,
           "instead: somebody's maps, FOLDER/<image id>.npy, float arrays of the input's side with values in [0, 1]")
      .placeholder("FOLDER")
      .or_none();
  table.add("scale_maps", &W::scale_maps, "scale each of these to 0..1 by itself, as attribution maps are");
  table
      .add("casme_load_mode", &W::casme_load_mode,
           "best: the last epoch in the folder casm_base_path; specific: the file casm_base_path")
      .one_of({"best", "specific"});
  add_judged_networks(table);
  add_method_options(table);
  add_judged_images(table);

  table.group("How");
  table
      .add("protocol", &W::protocol,
           "paper: attribution methods explain class 0 where the reference does; strict: the image's class. target "
           "says another")
      .one_of({"paper", "strict"});
  table.add("cam_curve_interval", &W::cam_curve_interval, "from one threshold to the next").between(0.0001, 1);
  table.add("box_v2_metric", &W::box_v2_metric, "MaxBoxAccV2 (all contours, IoU 0.3, 0.5, 0.7) instead of MaxBoxAcc");
  add_interval_options(table);

  table.group("Results");
  table
      .add("output_base_path", &W::output_base_path,
           "a .json file, or a folder for <dataset>___<split>___v1.json; curves (.csv, .svg) and the results of each "
           "image (.csv) are written beside it; none: <casm_base_path>/wsoleval")
      .also("output_path")
      .placeholder("PATH")
      .or_none();
  table.add("overwrite", &W::overwrite, "replace results that are there").of_this_call();

  add_read_options(table);
  add_compute_options(table);
  add_log_options(table, "the results as JSON on stdout too");
  return table;
}

}  // namespace

const OptionTable& wsol_options() {
  static const OptionTable table = make_table();
  return table;
}

void resolve(WsolOptions& options, OptionValues& values) {
  PEN_CHECK_AS(usage, options.cam_loader.empty() != options.maps.empty(),
               "--cam_loader says whose maps are judged, or --maps where they are: one of the two");
  resolve_judged_images(options, values);
  rules::check_effect(values, !options.maps.empty(), {"scale_maps"}, "there are no --maps");
  const bool casme = options.cam_loader == "casme", torchray = options.cam_loader == "torchray";
  PEN_CHECK_AS(usage, !casme || !options.casm_base_path.empty(), "--cam_loader casme needs --casm_base_path");
  PEN_CHECK_AS(usage, torchray != options.torchray_method.empty(),
               "--cam_loader torchray and --torchray_method belong together");
  parse_classifier_load_mode(options.classifier_load_mode);
  rules::check_effect(values, casme, {"casme_load_mode", "classifier_load_mode", "use_p"}, "--cam_loader is not casme");
  if (options.maps.empty()) eval::check_map_method(torchray ? options.torchray_method : options.cam_loader);
  const auto& controls = eval::control_names();
  const bool attribution = !casme && options.maps.empty() &&
                           std::find(controls.begin(), controls.end(), options.cam_loader) == controls.end();
  PEN_CHECK_AS(usage, !attribution || !options.resnet_path.empty() || !options.casm_base_path.empty(), "--cam_loader ",
               options.cam_loader, " needs --resnet_path, the classifier that it explains");
  check_method_options(values, attribution ? std::vector{torchray ? options.torchray_method : options.cam_loader}
                                           : std::vector<std::string>{});
  rules::check_effect(values, attribution, {"target"}, "--cam_loader is no attribution method");
  resolve_intervals(options, values);
  PEN_CHECK_AS(usage, !options.output_base_path.empty() || !options.casm_base_path.empty(),
               "--output_base_path is missing: the file or folder for the results");
}

}  // namespace pen
