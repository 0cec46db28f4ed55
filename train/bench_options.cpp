#include "train/bench_options.h"

#include "base/option_rules.h"
#include "models/classifier.h"

namespace pen {
namespace {

OptionTable make_table() {
  OptionsOf<BenchOptions> table;
  using B = BenchOptions;
  table.group("What");
  table
      .add("what", &B::what, "step: a training step or inference on random images; loader: reading and cropping images")
      .one_of({"step", "loader"})
      .placeholder("step|loader")
      .by_place()
      .must_be_given();
  table.add("path", &B::path, "loader: metadata JSON, or a folder of class folders")
      .placeholder("FOLDER_OR_JSON")
      .by_place()
      .or_none();

  table.group("step");
  table.add("mode", &B::mode, "FIX step, CA step, or classifier and masker forward").one_of({"fix", "ca", "infer"});
  table.add("arch", &B::arch, "the classifier").one_of(classifier_archs());
  table.add("width", &B::width, "factor on all channel counts").above(0).most = 8;
  table.add("classes", &B::classes, "number of classes").between(1, 1e6);
  table.add("fuse", &B::fuse, "run a fixed classifier (fix, infer) as one operation; false: layer by layer");
  table.add("masker_use_layers", &B::masker_use_layers, "taps that the masker sees").between(0, 4);

  table.add("warmup", &B::warmup, "steps before the clock starts; the loader has one pass of its own").between(0, 1e6);

  table.group("Both");
  table.add("batch_size", &B::batch_size, "images at a time").also("batch").between(1, 65536);
  table
      .add("steps", &B::steps,
           "what is timed: steps (mode ca: of each of its two kinds), or the loader's passes over the images")
      .between(1, 1e6);
  table.add("input_size", &B::input_size, "side of the square input, a multiple of 4").between(32, 2048);

  table.group("loader");
  table
      .add("transform", &B::transform,
           "train: random crop and flip; val: resize and centre crop; score: as scoring does")
      .one_of({"train", "val", "score"});
  table.add("workers", &B::workers, "threads that read images; 0: as many as --threads").between(0, 1024);
  table.add("limit", &B::limit, "use the first so many images only; 0: all").at_least(0);

  add_compute_options(table);
  add_log_options(table, "the result as one JSON line on stdout");
  return table;
}

}  // namespace

const OptionTable& bench_options() {
  static const OptionTable table = make_table();
  return table;
}

void resolve(BenchOptions& options, OptionValues& values) {
  const bool loader = options.what == "loader";
  PEN_CHECK_AS(usage, loader == !options.path.empty(), "bench ", options.what,
               loader ? ": the metadata JSON or the folder of images is missing"
                      : str(" reads no images, what is '", options.path, "' for?"));
  rules::check_effect(values, !loader, {"mode", "arch", "width", "classes", "masker_use_layers", "warmup"},
                      "bench loader runs no network");
  rules::check_effect(values, loader, {"transform", "workers", "limit"}, "bench step reads no images");
  rules::check_input_size(options.input_size);
  rules::check_taps(options.masker_use_layers);
}

}  // namespace pen
