// Training with infilling: every infiller that needs no file, and one that learns, is logged, saved and resumed
// exactly.
#include <doctest/doctest.h>

#include "tests/paths.h"
#include "tests/training_runs.h"

using namespace pen;
using namespace pen::test;

namespace {

const Words fix{"--fixed_classifier", "--lambda_tv", "0.001", "--mask_in_criterion", "crossentropy"};

Words infill(const std::string& model) {
  return {"--do_infill_for_mask_out", "--do_infill_for_mask_in", "--infiller_model", model};
}

bool same_masker(const std::string& a, const std::string& b) {
  const Checkpoint x = read_checkpoint(data().at(a)), y = read_checkpoint(data().at(b));
  const StateDict& p = x.parts.at("state_dict_masker");
  const StateDict& q = y.parts.at("state_dict_masker");
  bool same = p.size() == q.size();
  for (std::size_t i = 0; same && i < p.size(); ++i) same = same_bytes(p[i].tensor, q[i].tensor);
  return same;
}

}  // namespace

TEST_CASE("every infiller without weights trains, and each in its own way") {
  finish(data().train("plain", fix + Words{"--max_steps", "2"}));
  std::vector<std::string> names{"plain"};
  for (const std::string model : {"blur", "mean_color", "noise", "telea", "navier_stokes", "cnn"}) {
    CAPTURE(model);
    finish(data().train(model, fix + infill(model) + Words{"--max_steps", "2"}));
    CHECK_FALSE(read_checkpoint(data().at(model)).has("state_dict_infiller"));  // its weights are not the run's
    for (const std::string& other : names) CHECK_FALSE(same_masker(model, other));
    names.push_back(model);
  }
}

TEST_CASE("a trained infiller learns, is logged and saved, and goes on to the bit") {
  const Words learn = fix + infill("cnn") + Words{"--train_infiller", "--epochs",   "2",       "--lr_infiller", "0.005",
                                                  "--do_val",         "--val_json", data().val};
  finish(data().train("whole", learn));
  finish(data().train("parts", learn + Words{"--max_steps", "4"}));
  finish(data().resume("parts", {"--max_steps", "7"}));
  finish(data().resume("parts", {"--max_steps", "0", "--workers", "0"}));
  check_same(data().at("whole"), data().at("parts"));
  const Checkpoint last = read_checkpoint(data().at("whole"));
  CHECK(last.parts.at("state_dict_infiller").size() == 16);
  CHECK(last.parts.at("optimizer_infiller").size() == 32);
  CHECK(last.fact("optimizer_infiller_steps") == "12");
  const auto log = json_lines(slurp(data().at("whole", "log/train.jsonl")));
  REQUIRE(log.size() == 12);
  for (const auto& line : log)
    CHECK(line["infiller_loss"].GetDouble() ==
          doctest::Approx(line["infiller_valid"].GetDouble() + 6 * line["infiller_hole"].GetDouble()).epsilon(1e-5));
  CHECK(log.back()["infiller_loss"].GetDouble() < 0.95 * log.front()["infiller_loss"].GetDouble());

  // Its weights serve a later run as they are, and are not changed by it.
  finish(data().train("later", fix + infill("cnn") + Words{"--max_steps", "2", "--infiller_path", data().at("whole")}));
  finish(data().train("untrained", fix + infill("cnn") + Words{"--max_steps", "2"}));
  CHECK_FALSE(same_masker("later", "untrained"));
}

TEST_CASE("the loss that an infiller learns from leaves the masker alone") {
  // In the first step the infiller's weights are the same, whether they learn in it or not.
  const Words one = fix + infill("cnn") + Words{"--max_steps", "1"};
  finish(data().train("fixed-infiller", one));
  finish(data().train("taught-infiller", one + Words{"--train_infiller", "--lr_infiller", "0.1"}));
  const Checkpoint fixed = read_checkpoint(data().at("fixed-infiller")),
                   taught = read_checkpoint(data().at("taught-infiller"));
  CHECK(same_masker("fixed-infiller", "taught-infiller"));
  // Means of gradients are sharper than weights: Adam's first step goes by their signs.
  const StateDict &a = fixed.parts.at("optimizer_masker"), &b = taught.parts.at("optimizer_masker");
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK_MESSAGE(same_bytes(a[i].tensor, b[i].tensor), a[i].name);
}

TEST_CASE("noise is part of the run's random state: resumed to the bit") {
  const Words words = fix + infill("noise") + Words{"--epochs", "1"};
  finish(data().train("noise-whole", words));
  finish(data().train("noise-parts", words + Words{"--max_steps", "3"}));
  finish(data().resume("noise-parts", {"--max_steps", "0"}));
  check_same(data().at("noise-whole"), data().at("noise-parts"));
}

TEST_CASE("a partial convolution network learns from nothing") {
  finish(data().train("pconv", fix + infill("pconv") + Words{"--train_infiller", "--max_steps", "1"}));
  CHECK(read_checkpoint(data().at("pconv")).has("state_dict_infiller"));
}

TEST_CASE("files that are missing or unfit") {
  const auto refused = [](int code, const Words& words, const std::string& part) {
    const Ended ended = penumbra(words);
    CHECK(ended.code == code);
    CHECK_MESSAGE(contains(ended.err, part), ended.err);
  };
  refused(2, data().train("no-file", infill("dfn_infiller")), "set DFNET_MODEL_PATH");
  refused(4, data().train("gone", infill("ca_infiller") + Words{"--infiller_path", data().folder / "gone.pth"}),
          "gone.pth");
  refused(4, data().train("unfit", infill("cnn") + Words{"--infiller_path", data().classifier}), "missing: down_ls.0");
}
