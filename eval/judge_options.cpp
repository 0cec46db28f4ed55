#include "eval/judge_options.h"

#include "base/option_rules.h"

namespace pen {

void resolve_judged_images(const JudgedImages& options, const OptionValues& values) {
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
  rules::check_effect(values, options.limit > 0, {"spread"}, "--limit says how many images it spreads over the list");
  PEN_CHECK_AS(usage, options.input_size == 0 || options.input_size >= 8, "--input_size: ", options.input_size,
               " is below 8");
}

}  // namespace pen
