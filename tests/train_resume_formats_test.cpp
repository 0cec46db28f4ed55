// A run goes on from its checkpoint in any format, and starts from a classifier in any format, to the same bits.
#include <doctest/doctest.h>

#include "models/checkpoint_tools.h"
#include "tests/training_runs.h"

using namespace pen;
using namespace pen::test;

TEST_CASE("resume and --resnet_path take zip, legacy and safetensors by content") {
  const TrainingData data;
  const auto finish = [](const Words& words) {
    const Ended ended = penumbra(words);
    CHECK_MESSAGE(ended.code == 0, ended.err);
  };
  const Words ca{"--zoo_mode", "historic", "--prob_historic", "0.5", "--save_freq", "1", "--f_size", "2"};
  finish(data.train("whole", ca + Words{"--max_steps", "4"}));
  for (const std::string format : {"legacy", "safetensors"}) {
    CAPTURE(format);
    Words words = data.train(format, ca + Words{"--max_steps", "2"});
    const std::string classifier = data.folder / (format + ".weights");
    convert_checkpoint(data.classifier, classifier, format);
    *(std::find(words.begin(), words.end(), "--resnet_path") + 1) = classifier;
    finish(words);
    const std::string last = data.at(format), other = data.folder / (format + ".other");
    convert_checkpoint(last, other, format);
    std::filesystem::rename(other, last);
    CHECK(slurp(last).substr(0, 2) != "PK");
    finish(data.resume(format, {"--max_steps", "4"}));
    CHECK(slurp(last).substr(0, 4) == "PK\x03\x04");
    check_same(data.at("whole"), last);
  }
}
