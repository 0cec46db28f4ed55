// Options that the commands share which judge maps: whose maps, on which images.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/run_options.h"
#include "eval/attribution/options.h"
#include "eval/shared_options.h"

namespace pen {

// Networks that maps come from, beside the method's name.
struct JudgedNetworks {
  std::string casm_base_path, classifier_load_mode = "pickled", resnet_path;
  std::optional<double> use_p;
  bool fuse = true;
};

struct JudgedImages : ReadOptions {
  std::string dataset, dataset_split = "test", dataset_path, metadata_path, imagenet_val_path;
  std::string val_json, bboxes_path, masks_path;
  bool break_ratio = false, spread = false;
  std::int64_t limit = 0, input_size = 0;
};

template <class T>
void add_judged_networks(OptionsOf<T>& table) {
  using N = JudgedNetworks;
  table.add("casm_base_path", &N::casm_base_path, "casme: the masker's checkpoint, or the folder of a run")
      .also("casm_path")
      .placeholder("PATH")
      .or_none();
  table
      .add("classifier_load_mode", &N::classifier_load_mode,
           "casme: pickled is the checkpoint's own classifier, original that of resnet_path, path:FILE another")
      .placeholder("MODE");
  table
      .add("resnet_path", &N::resnet_path,
           "the classifier that attribution methods explain; none: that of casm_base_path")
      .placeholder("FILE")
      .or_none();
  table.add("use_p", &N::use_p, "target area for a masker with add_prob_layers").between(0, 1);
  add_fuse(table);
}

template <class T>
void add_judged_images(OptionsOf<T>& table) {
  using I = JudgedImages;
  table.group("Which images: a data set in wsolevaluation's layout");
  table.add("dataset", &I::dataset, "OpenImages is judged by masks (PxAP), CUB and ILSVRC by boxes (MaxBoxAcc)")
      .placeholder("OpenImages|CUB|ILSVRC")
      .or_none();
  table.add("dataset_split", &I::dataset_split, "folder of its metadata").placeholder("train|val|test");
  table.add("dataset_path", &I::dataset_path, "folder with the folders of the data sets (images, masks)")
      .placeholder("FOLDER")
      .or_none();
  table.add("metadata_path", &I::metadata_path, "folder with their metadata, <dataset>/<split>/image_ids.txt and so on")
      .placeholder("FOLDER")
      .or_none();
  table
      .add("imagenet_val_path", &I::imagenet_val_path,
           "ILSVRC test: metadata JSON of ImageNet's validation images, which lie elsewhere")
      .placeholder("FILE")
      .or_none();
  table.group("Which images: your own, as score reads them");
  table.add("val_json", &I::val_json, "metadata of the images").placeholder("FILE").or_none();
  table.add("bboxes_path", &I::bboxes_path, "their annotated boxes, in the frame of the input")
      .placeholder("FILE")
      .or_none();
  table.add("masks_path", &I::masks_path, "true pixel masks, FOLDER/CLASS/NAME.png as sample writes them")
      .placeholder("FOLDER")
      .or_none();
  table.add("break_ratio", &I::break_ratio, "resize both sides to the input's, instead of cutting the longer one");
  table.group("Which images");
  table.add("limit", &I::limit, "only the first so many images; 0: all").at_least(0);
  table.add("spread", &I::spread,
            "with limit: so many images at equal distances in the list, which is often ordered by class");
  table.add("input_size", &I::input_size, "side of maps and input; 0: the checkpoint's, or 224").between(0, 2048);
}

// The rules of JudgedImages: one of the two ways to name images, and nothing that has no effect. Usage errors.
void resolve_judged_images(const JudgedImages& images, const OptionValues& values);

}  // namespace pen
