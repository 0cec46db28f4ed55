// Other classifiers in whole runs: fitted, a masker trained beside them, scored, explained; with default taps.
#include <doctest/doctest.h>

#include "tests/paths.h"
#include "tests/training_runs.h"

using namespace pen;
using namespace pen::test;

TEST_CASE("fit, train, score and explain with networks for small images and MobileNet") {
  const TrainingData data;
  const TinyData pictures;
  for (const auto& [arch, width, taps] : {std::tuple{"resnet20", "0.5", 4}, std::tuple{"mobilenet_v1", "0.25", 5}}) {
    CAPTURE(arch);
    const std::string name = arch;
    finish({"fit-classifier",
            "--train_json",
            data.list,
            "--output_path",
            data.runs,
            "--name",
            "fit-" + name,
            "--arch",
            arch,
            "--width",
            width,
            "--epochs",
            "1",
            "--batch_size",
            "8",
            "--input_size",
            "32",
            "--workers",
            "1",
            "--threads",
            "1",
            "--device",
            "cpu",
            "--quiet"});
    Words train = data.train("run-" + name, {"--fixed_classifier", "--max_steps", "2", "--arch", arch});
    *(std::find(train.begin(), train.end(), "--resnet_path") + 1) = data.at("fit-" + name, "last.chk");
    const auto layers = std::find(train.begin(), train.end(), "--masker_use_layers");
    train.erase(layers, layers + 2);  // the default: all taps
    finish(train);
    const Checkpoint run = read_checkpoint(data.at("run-" + name));
    CHECK(run.fact("arch") == arch);
    const std::unique_ptr<Masker> masker = load_masker(run);
    CHECK(static_cast<int>(masker->options().use_layers.size()) == taps);
    CHECK(masker->options().tap_widths == load_classifier(run)->tap_widths());

    const std::string image = pictures.folder / "val/right/v1.png", out = data.folder / ("explained-" + name);
    const Ended said = finish({"explain", "--casm_path", data.at("run-" + name), "--output_path", out, image});
    CHECK(contains(said.out, "masked in"));
    finish({"score", "--mode", "casme", "--casm_path", data.at("run-" + name), "--val_json", pictures.list,
            "--bboxes_path", pictures.boxes, "--output_path", data.folder / (name + ".json"), "--workers", "1"});
    // A wrong arch says what differs.
    const Ended wrong = penumbra(
        {"explain", "--casm_path", data.at("run-" + name), "--output_path", out + "-x", image, "--arch", "resnet50"});
    CHECK(wrong.code == 4);
    CHECK_MESSAGE(contains(wrong.err, "missing: "), wrong.err);
  }
  Words five = data.train("five", {"--fixed_classifier", "--max_steps", "1"});
  *(std::find(five.begin(), five.end(), "--resnet_path") + 1) = data.at("fit-resnet20", "last.chk");
  *(std::find(five.begin(), five.end(), "--masker_use_layers") + 1) = "3,4";
  const Ended ended = penumbra(five);
  CHECK(ended.code == 2);
  CHECK_MESSAGE(contains(ended.err, "taps are 0 to 3"), ended.err);
}
