// penumbra sample: Fashion-MNIST scenes with exact boxes and masks.
#include <cstdio>

#include "base/json.h"
#include "base/log.h"
#include "cli/commands.h"
#include "data/scenes.h"

namespace pen::cli {
namespace {

struct Options : SceneOptions, LogOptions {
  std::int64_t jpeg_quality = SceneOptions{}.quality;
};

const OptionTable& table() {
  static const OptionTable built = [] {
    OptionsOf<Options> t;
    t.group("Output");
    t.add("output_path", &Options::output_path, "folder for images, annotations, masks and metadata")
        .placeholder("FOLDER")
        .must_be_given();
    t.add("overwrite", &Options::overwrite, "replace scenes that this command wrote there earlier").of_this_call();
    t.add("format", &Options::format, "of the images").one_of({"jpeg", "png"});
    t.add("quality", &Options::jpeg_quality, "of JPEG").between(1, 100);
    t.group("Scenes");
    t.add("size", &Options::size, "side of a scene in pixels").between(32, 4096);
    t.add("train", &Options::train, "training scenes").between(1, 1e7);
    t.add("val", &Options::val, "validation scenes").between(1, 1e7);
    t.add("classes", &Options::classes, "kinds of garments; the easiest to tell apart come first").between(2, 10);
    t.add("garment_min", &Options::garment_min, "smallest garment: longer side of its box over the scene's side")
        .between(0.05, 0.95);
    t.add("garment_max", &Options::garment_max, "largest garment").between(0.05, 0.95);
    t.add("clutter_min", &Options::clutter_min, "fewest other things in a scene").between(0, 50);
    t.add("clutter_max", &Options::clutter_max, "most other things").between(0, 50);
    t.add("seed", &Options::seed, "all randomness follows from it").between(0, 4294967295.0);
    t.add("num_per_class_in_train_val", &Options::num_per_class_in_train_val,
          "images of each class that go to train_val")
        .at_least(0);
    t.group("Input");
    t.add("fashion_mnist_path", &Options::fashion_mnist_path,
          "folder of the four IDX files (Debian's package dataset-fashion-mnist)")
        .placeholder("FOLDER");
    add_log_options(t, "what was written, as JSON on stdout");
    return OptionTable(t);
  }();
  return built;
}

int run(const Options& given, const Invocation&) {
  SceneOptions options = given;
  options.quality = static_cast<int>(given.jpeg_quality);
  const SceneReport report = make_scenes(options);
  log::info(str("wrote ", report.train, " training and ", report.val, " validation scenes to ", options.output_path,
                " in ", static_cast<std::int64_t>(report.seconds + 0.5), " s"));
  for (const std::string& file : report.metadata.files) log::info("wrote " + file);
  if (given.json) {
    JsonWriter out;
    out.begin_object().field("train", report.train).field("val", report.val).field("seconds", report.seconds);
    out.field("files", report.metadata.files).end_object();
    std::puts(out.text().c_str());
  }
  return 0;
}

}  // namespace

Command sample_command() {
  return make_command<Options>("sample", "write a small data set of garment scenes, with exact boxes and masks",
                               "  penumbra sample --output_path scenes --train 5000 --val 500 --size 112\n", table(),
                               {}, run);
}

}  // namespace pen::cli
