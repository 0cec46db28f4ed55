// penumbra prepare: metadata and boxes of an ImageNet-like tree.
#include <cstdio>

#include "base/json.h"
#include "base/log.h"
#include "cli/commands.h"
#include "data/prepare.h"

namespace pen::cli {
namespace {

struct Options : PrepareOptions, LogOptions {};

const OptionTable& table() {
  static const OptionTable built = [] {
    OptionsOf<Options> t;
    t.group("Input");
    t.add("train_path", &Options::train_path, "training images, a folder for each class")
        .placeholder("FOLDER")
        .must_be_given();
    t.add("val_path", &Options::val_path, "validation images, a folder for each class")
        .placeholder("FOLDER")
        .must_be_given();
    t.add("val_annotation_path", &Options::val_annotation_path,
          "VOC XML files of the validation images; none: no val_bboxes.json")
        .placeholder("FOLDER")
        .or_none();
    t.add("extended_annot_base_path", &Options::extended_annot_base_path,
          "VOC XML files of training images, a folder for each class; none: no train_val_bboxes.json")
        .placeholder("FOLDER")
        .or_none();
    t.group("Output");
    t.add("output_base_path", &Options::output_base_path, "folder for the JSON files")
        .placeholder("FOLDER")
        .must_be_given();
    t.add("overwrite", &Options::overwrite, "replace the files of an earlier prepare").of_this_call();
    t.group("How");
    t.add("num_per_class_in_train_val", &Options::num_per_class_in_train_val,
          "images of each class that go to train_val")
        .at_least(0);
    t.add("seed", &Options::seed, "of all shuffles").between(0, 4294967295.0);
    t.add("image_size", &Options::image_size, "side of the frame that boxes are given in").between(1, 65536);
    t.add("break_ratio", &Options::break_ratio, "boxes for images resized to a square, instead of cut to one");
    add_log_options(t, "what was written, as JSON on stdout");
    return OptionTable(t);
  }();
  return built;
}

int run(const Options& options, const Invocation&) {
  const PrepareResult result = prepare(options);
  log::info(str(result.classes, " classes, ", result.train, " training images (", result.train_train, " train_train, ",
                result.train_val, " train_val, ", result.annotated, " with annotations), ", result.val,
                " validation images"));
  for (const std::string& file : result.files) log::info("wrote " + file);
  if (options.json) {
    JsonWriter out;
    out.begin_object().field("classes", result.classes).field("train", result.train);
    out.field("train_train", result.train_train).field("train_val", result.train_val).field("val", result.val);
    out.field("annotated", result.annotated).field("files", result.files).end_object();
    std::puts(out.text().c_str());
  }
  return 0;
}

}  // namespace

Command prepare_command() {
  return make_command<Options>("prepare", "list the images of a data set and the boxes in them as JSON files",
                               "  penumbra prepare --train_path imagenet/train --val_path imagenet/val \\\n"
                               "      --val_annotation_path annotations/val --output_base_path metadata\n",
                               table(), {}, run);
}

}  // namespace pen::cli
