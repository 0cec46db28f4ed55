// Batches of one image where feature maps have one pixel: batch norm cannot be trained on them.
#include <doctest/doctest.h>

#include "tests/paths.h"
#include "tests/training_runs.h"

using namespace pen;
using namespace pen::test;

namespace {

// With one option given another value.
Words with(Words words, const std::string& option, const std::string& value) {
  *(std::find(words.begin(), words.end(), option) + 1) = value;
  return words;
}

// Steps of a run of two epochs.
std::size_t steps(const Words& words, const std::string& name) {
  const Ended ended = penumbra(words);
  CHECK_MESSAGE(ended.code == 0, ended.err);
  return logged(data().at(name, "log/train.jsonl")).size();
}

Words fit(const std::string& name, const Words& more) {
  return Words{"fit-classifier",
               "--train_json",
               data().list,
               "--output_path",
               data().runs,
               "--name",
               name,
               "--epochs",
               "2",
               "--input_size",
               "32",
               "--width",
               "0.125",
               "--workers",
               "1",
               "--threads",
               "1",
               "--device",
               "cpu"} +
         more;
}

}  // namespace

TEST_CASE("a last batch of one image is left out where the feature maps that are trained on have one pixel") {
  const Words five{"--limit", "5", "--epochs", "2"};  // batches of four and one
  CHECK(steps(data().train("ca", five), "ca") == 2);
  // In FIX only the masker's norms are trained: on the taps that it uses.
  CHECK(steps(data().train("fix", five + Words{"--fixed_classifier"}), "fix") == 4);
  const Words deep = data().train("deep", five + Words{"--fixed_classifier"});
  CHECK(steps(with(deep, "--masker_use_layers", "2,4"), "deep") == 2);
  // Larger images have larger maps.
  CHECK(steps(data().train("large", five + Words{"--input_size", "64"}), "large") == 4);

  const Words common{"--limit", "9", "--batch_size", "8"};
  const Ended ended = penumbra(fit("fit", common + Words{"--arch", "resnet18"}));
  CHECK_MESSAGE(ended.code == 0, ended.err);
  CHECK(logged(data().at("fit", "log/train.jsonl")).size() == 2);
  CHECK_MESSAGE(contains(ended.err, "a batch of 1 image cannot be trained on"), ended.err);
  CHECK(steps(fit("small", common + Words{"--arch", "resnet20"}), "small") == 4);
}

TEST_CASE("where every batch is one image of such a size, training is refused at once") {
  const auto refused = [](const Words& words) {
    const Ended ended = penumbra(words);
    CHECK(ended.code == 2);
    CHECK_MESSAGE(contains(ended.err, "batch norm needs two values of each channel"), ended.err);
    CHECK_MESSAGE(contains(ended.err, "--batch_size"), ended.err);
  };
  refused(with(data().train("ones", {"--epochs", "1"}), "--batch_size", "1"));
  refused(data().train("single", {"--epochs", "1", "--limit", "1"}));
  refused(fit("fit-ones", {"--arch", "resnet18", "--batch_size", "1"}));
}
