// `penumbra train` and `fit-classifier`: what their command lines say, up to where a run would begin.
#include <doctest/doctest.h>

#include <filesystem>
#include <sstream>

#include "tests/paths.h"
#include "tests/program.h"

using pen::test::contains, pen::test::Ended, pen::test::penumbra, pen::test::put, pen::test::ScratchFolder;

namespace {

std::string config(const std::string& name) { return pen::test::tests_folder() + "/../configs/" + name; }

std::vector<std::string> train(std::vector<std::string> more) {
  std::vector<std::string> words = {"train", "--train_json", "t.json", "--output-path", "runs", "--resnet_path", "c"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// "value|origin" of one option as --print_config shows it.
std::string shown(const std::string& table, const std::string& name) {
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first, value, origin;
    words >> first >> value;
    std::getline(words >> std::ws, origin);
    if (first == name) return value + "|" + origin;
  }
  return "?";
}

}  // namespace

TEST_CASE("the reference's command line gives the published configuration, each value with its origin") {
  const std::string file = config("fix.json");
  const Ended ended = penumbra(train({"--val_json", "v.json", "--ZZsrc", file, "--masker_use_layers", "3,4", "--epochs",
                                      "60", "--lrde", "20", "--name", "fix", "--print_config"}));
  CHECK(ended.code == 0);
  CHECK(ended.err.empty());
  CHECK(shown(ended.out, "batch_size") == "72|file " + file);
  CHECK(shown(ended.out, "mask_out_lambda_r") == "10|file " + file);
  CHECK(shown(ended.out, "mask_in_lambda_tv") == "0.001|file " + file + " (lambda_tv)");
  CHECK(shown(ended.out, "masker_use_layers") == "3,4|command line");
  CHECK(shown(ended.out, "epochs") == "60|command line");
  CHECK(shown(ended.out, "momentum") == "0.9|default");
  CHECK(shown(ended.out, "name") == "fix|command line");
  const Ended preset = penumbra(train({"--reproduce", "L100", "--adversarial", "--print-config"}));
  CHECK(preset.code == 0);
  CHECK(shown(preset.out, "mask_out_lambda_r") == "17|preset (reproduce L100)");
  CHECK(shown(preset.out, "name").starts_with("run-"));
}

TEST_CASE("the command line wins over the file") {
  const Ended ended = penumbra(train({"--batch-size=8", "--ZZsrc", config("ca.json"), "--ZZoverrides", "batch_size",
                                      "--lambda_tv", "0.01", "--print_config"}));
  CHECK(ended.code == 0);
  CHECK(shown(ended.out, "batch_size") == "8|command line");
  CHECK(shown(ended.out, "mask_out_lambda_tv") == "0.01|command line (lambda_tv)");
  CHECK(shown(ended.out, "fixed_classifier") == "false|file " + config("ca.json"));
}

TEST_CASE("mistakes are found before anything is written") {
  const ScratchFolder folder;
  const std::string here = folder / "runs";
  const auto said = [&](std::vector<std::string> more) {
    std::vector<std::string> words = train(std::move(more));
    words[4] = here;
    const Ended ended = penumbra(words);
    CHECK(ended.code == 2);
    CHECK(ended.out.empty());
    CHECK(ended.err.starts_with("error: "));
    CHECK_FALSE(std::filesystem::exists(here));
    return ended.err;
  };
  const std::string fix = config("fix.json");
  CHECK(contains(said({"--ZZsrc", fix, "--masker-use-layer", "3"}), "hint: did you mean --masker_use_layers?"));
  CHECK(contains(said({"--ZZsrc", fix, "--lr", "slow"}), "--lr: 'slow' is not a number"));
  CHECK(contains(said({"--ZZsrc", fix, "--prob_historic", "0.5"}), "contradict each other"));
  CHECK(contains(said({"--ZZsrc", fix, "--reproduce", "L"}), "contradict each other"));
  CHECK(contains(said({}), "there is nothing to train for"));
  put(folder / "o.json", R"({"mask_in_criterion": "crossentropy", "lr": "0.1"})");
  CHECK(contains(said({"--ZZsrc", folder / "o.json"}), "o.json': lr has to be a number, found a text \"0.1\""));
  put(folder / "o.json", R"({"mask_in_criterium": "crossentropy"})");
  CHECK(contains(said({"--ZZsrc", folder / "o.json"}), "hint: did you mean mask_in_criterion?"));
  CHECK(contains(said({"--ZZsrc", folder / "absent.json"}), "absent.json"));
}

TEST_CASE("missing images are exit code 3, and a second try is no second run; a run to resume has to be there") {
  const ScratchFolder folder;
  const std::vector<std::string> words = {"train",
                                          "--train_json",
                                          folder / "absent.json",
                                          "--output_path",
                                          folder / "runs",
                                          "--name",
                                          "a",
                                          "--resnet_path",
                                          "c",
                                          "--ZZsrc",
                                          config("fix.json"),
                                          "--device",
                                          "cpu"};
  for (int i = 0; i < 2; ++i) {
    const Ended ended = penumbra(words);
    CHECK(ended.code == 3);
    CHECK(contains(ended.err, "absent.json"));
  }
  put(folder / "runs/a/last.chk", "x");
  const Ended taken = penumbra(words);
  CHECK(taken.code == 2);
  CHECK(contains(taken.err, "is there already and is not overwritten\nhint: --resume goes on with that run"));
  const Ended resumed = penumbra({"train", "--output_path", folder / "runs", "--name", "b", "--resume"});
  CHECK(resumed.code == 4);
  CHECK(contains(resumed.err, "there is no run"));
}
