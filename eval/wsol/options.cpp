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
  table.add("casm_base_path", &W::casm_base_path, "casme: the masker's checkpoint, or the folder of a run")
      .also("casm_path")
      .placeholder("PATH")
      .or_none();
  table
      .add("casme_load_mode", &W::casme_load_mode,
           "best: the last epoch in the folder casm_base_path; specific: the file casm_base_path")
      .one_of({"best", "specific"});
  table
      .add("classifier_load_mode", &W::classifier_load_mode,
           "casme: pickled is the checkpoint's own classifier, original that of resnet_path, path:FILE another")
      .placeholder("MODE");
  table.add("resnet_path", &W::resnet_path, "the classifier that attribution methods explain")
      .placeholder("FILE")
      .or_none();
  table.add("use_p", &W::use_p, "target area for a masker with add_prob_layers").between(0, 1);

  table.add("layer", &W::layer, "module that class activation methods read; none: the last one with feature maps")
      .placeholder("NAME")
      .or_none();
  table
      .add("internal_batch", &W::internal_batch,
           "images, or altered copies of one, that attribution methods send through the network together")
      .between(1, 65536);

  table.group("Which images: a data set in wsolevaluation's layout");
  table.add("dataset", &W::dataset, "OpenImages is judged by masks (PxAP), CUB and ILSVRC by boxes (MaxBoxAcc)")
      .placeholder("OpenImages|CUB|ILSVRC")
      .or_none();
  table.add("dataset_split", &W::dataset_split, "folder of its metadata").placeholder("train|val|test");
  table.add("dataset_path", &W::dataset_path, "folder with the folders of the data sets (images, masks)")
      .placeholder("FOLDER")
      .or_none();
  table.add("metadata_path", &W::metadata_path, "folder with their metadata, <dataset>/<split>/image_ids.txt and so on")
      .placeholder("FOLDER")
      .or_none();
  table
      .add("imagenet_val_path", &W::imagenet_val_path,
           "ILSVRC test: metadata JSON of ImageNet's validation images, which lie elsewhere")
      .placeholder("FILE")
      .or_none();
  table.group("Which images: your own, as score reads them");
  table.add("val_json", &W::val_json, "metadata of the images").placeholder("FILE").or_none();
  table.add("bboxes_path", &W::bboxes_path, "their annotated boxes, in the frame of the input")
      .placeholder("FILE")
      .or_none();
  table.add("masks_path", &W::masks_path, "true pixel masks, FOLDER/CLASS/NAME.png as sample writes them")
      .placeholder("FOLDER")
      .or_none();
  table.add("break_ratio", &W::break_ratio, "resize both sides to the input's, instead of cutting the longer one");
  table.group("Which images");
  table.add("limit", &W::limit, "only the first so many images; 0: all").at_least(0);
  table.add("input_size", &W::input_size, "side of maps and input; 0: the checkpoint's, or 224").between(0, 2048);

  table.group("How");
  table
      .add("protocol", &W::protocol,
           "paper: attribution methods explain class 0 where the reference does; strict: the image's class")
      .one_of({"paper", "strict"});
  table.add("cam_curve_interval", &W::cam_curve_interval, "from one threshold to the next").between(0.0001, 1);
  table.add("box_v2_metric", &W::box_v2_metric, "MaxBoxAccV2 (all contours, IoU 0.3, 0.5, 0.7) instead of MaxBoxAcc");
  table.add("bootstrap", &W::bootstrap, "resamples for the confidence intervals; 0: none").between(0, 1000000);
  table.add("confidence", &W::confidence, "level of the intervals").between(0.5, 0.9999);

  table.group("Results");
  table
      .add("output_base_path", &W::output_base_path,
           "a .json file, or a folder for <dataset>___<split>___v1.json; curves (.csv, .svg) and the results of each "
           "image (.csv) are written beside it; none: <casm_base_path>/wsoleval")
      .also("output_path")
      .placeholder("PATH")
      .or_none();
  table.add("overwrite", &W::overwrite, "replace results that are there").of_this_call();

  table.group("Data");
  table.add("workers", &W::workers, "threads that read images; 0: the main thread does").between(0, 1024);
  table.add("batch_size", &W::batch_size, "images at a time").between(1, 65536);
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
  PEN_CHECK_AS(usage, options.dataset.empty() != options.val_json.empty(),
               "--dataset (with --metadata_path) or --val_json (with --bboxes_path or --masks_path) says on which "
               "images: one of the two");
  if (options.dataset.empty()) {
    PEN_CHECK_AS(usage, !options.bboxes_path.empty() || !options.masks_path.empty(),
                 "--val_json needs --bboxes_path or --masks_path: what is true of the images");
    rules::check_effect(values, false, {"dataset_split", "dataset_path", "metadata_path", "imagenet_val_path"},
                        "--val_json names the images");
  } else {
    PEN_CHECK_AS(usage, options.dataset == "OpenImages" || options.dataset == "CUB" || options.dataset == "ILSVRC",
                 "--dataset: '", options.dataset, "' is none of OpenImages, CUB, ILSVRC");
    PEN_CHECK_AS(usage, !options.metadata_path.empty(), "--dataset needs --metadata_path");
    rules::check_effect(values, false, {"bboxes_path", "masks_path", "break_ratio"}, "--dataset names the images");
    rules::check_effect(values, options.dataset == "ILSVRC" && options.dataset_split == "test", {"imagenet_val_path"},
                        "it is for --dataset ILSVRC --dataset_split test");
  }
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
  rules::check_effect(values, attribution, {"layer", "internal_batch"}, "--cam_loader is no attribution method");
  rules::check_effect(values, options.bootstrap > 0, {"confidence"}, "--bootstrap is 0");
  PEN_CHECK_AS(usage, !options.output_base_path.empty() || !options.casm_base_path.empty(),
               "--output_base_path is missing: the file or folder for the results");
  PEN_CHECK_AS(usage, options.input_size == 0 || options.input_size >= 8, "--input_size: ", options.input_size,
               " is below 8");
}

}  // namespace pen
