// What options of `penumbra train` change: each is seen in logs, checkpoints or a single step.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "base/parallel.h"
#include "tests/blocks.h"
#include "tests/compare.h"
#include "tests/tiny_step.h"
#include "tests/training_runs.h"
#include "train/fit_classifier.h"
#include "train/runner.h"
#include "train/step.h"

using namespace pen;
using namespace pen::test;

namespace {

// With its log by name.
struct LoggedStep : TinyStep {
  using TinyStep::TinyStep;
  std::map<std::string, double> train(const StepBatch& batch, std::int64_t number) {
    const StepLog log = step->train(batch, number, draws);
    return {log.begin(), log.end()};
  }
};

// Images of `order`, one of six each, 32x32.
StepBatch images(const std::vector<std::int64_t>& order) {
  constexpr std::size_t pixels = 32 * 32 * 3;
  std::vector<float> all;
  StepBatch batch;
  for (const std::int64_t i : order) {
    Rng rng(21, static_cast<std::uint64_t>(i));
    for (std::size_t k = 0; k < pixels; ++k) all.push_back(static_cast<float>(rng.uniform(-2, 2) + 0.3 * double(i)));
    batch.labels.push_back(i % 3);
  }
  batch.images = Tensor::from(all, {static_cast<std::int64_t>(order.size()), 32, 32, 3});
  return batch;
}

TrainOptions both_sides(bool fixed) {
  TrainOptions o;
  o.fixed_classifier = fixed;
  o.prob_historic = fixed ? 0 : 0.5;
  o.mask_in.criterion = o.mask_out.criterion = "crossentropy";
  o.mask_in.objective_type = "classification";
  o.mask_in.lambda_tv = o.mask_out.lambda_tv = 0.001;
  return o;
}

}  // namespace

TEST_CASE("the order of a batch changes nothing") {
  for (const bool fixed : {true, false}) {
    LoggedStep a(both_sides(fixed)), b(both_sides(fixed));
    const auto x = a.train(images({0, 1, 2, 3, 4, 5}), 0), y = b.train(images({4, 2, 5, 0, 3, 1}), 0);
    REQUIRE(x.size() == y.size());
    for (const auto& [name, value] : x) CHECK_MESSAGE(y.at(name) == doctest::Approx(value).epsilon(1e-5), name);
    // and other images do
    const auto z = LoggedStep(both_sides(fixed)).train(images({0, 1, 2, 3, 4, 0}), 0);
    CHECK(std::abs(z.at("masked_total___loss") - x.at("masked_total___loss")) > 1e-4);
  }
}

TEST_CASE("zoo_mode paper never uses an earlier classifier, historic stores every save_freq steps and does") {
  const auto run = [](const std::string& mode, std::int64_t f_size, double prob, std::vector<std::size_t>* sizes) {
    TrainOptions o = both_sides(false);
    o.zoo_mode = mode;
    o.f_size = f_size;
    o.save_freq = 2;
    o.prob_historic = prob;
    o.lr = 0.05;
    LoggedStep step(o);
    std::vector<double> losses;
    for (int i = 0; i < 8; ++i) {
      const auto log = step.train(images({0, 1, 2, 3, 4, 5}), i);
      losses.push_back(log.at("masked_total___loss"));
      if (sizes) sizes->push_back(step.step->zoo().size());
    }
    return losses;
  };
  std::vector<std::size_t> paper, historic;
  CHECK(run("paper", 1, 0.5, &paper) == run("paper", 30, 0.5, nullptr));
  CHECK(paper == std::vector<std::size_t>(8, 0));
  run("historic", 3, 0.5, &historic);
  CHECK(historic == std::vector<std::size_t>{1, 1, 2, 2, 3, 3, 3, 3});
  // With probability 0 a full zoo is not looked at; with 1 it is in every step.
  CHECK(run("historic", 30, 0, nullptr) == run("paper", 30, 0, nullptr));
  CHECK(run("historic", 30, 1, nullptr) != run("paper", 30, 1, nullptr));
}

TEST_CASE("an earlier classifier looks at the images frozen or layer by layer: the same figures and mask gradients") {
  const auto run = [](bool fuse) {
    TrainOptions o = both_sides(false);
    o.zoo_mode = "historic";
    o.prob_historic = 1;
    o.save_freq = 2;
    o.lr = 0.01;
    o.fuse = fuse;
    LoggedStep step(o);
    std::vector<std::vector<double>> seen;
    step.step->mask_observer = [&](const Tensor&, const Tensor& gradient) {
      CHECK(gradient.shape() == (fuse ? Shape{6, 8, 8, 1} : Shape{6, 32, 32, 1}));
      seen.push_back(test::block_sums(gradient, gradient.size(1) / 8));
    };
    for (int i = 0; i < 5; ++i) {
      std::vector<double> figures;
      for (const auto& [name, value] : step.train(images({0, 1, 2, 3, 4, 5}), i)) figures.push_back(value);
      seen.push_back(figures);
    }
    seen.push_back({static_cast<double>(step.draws.position())});
    return seen;
  };
  const auto frozen = run(true), plain = run(false);
  REQUIRE(frozen.size() == plain.size());
  CHECK(frozen.back() == plain.back());  // as many draws
  CHECK(frozen != plain);
  // Gradient, figures, gradient, ...: of the first step the gradient, too. Adam turns its rounding into steps of the
  // masker, and later gradients are those of other masks.
  for (std::size_t i = 0; i + 1 < frozen.size(); ++i) {
    if (i % 2 == 0 && i > 0) continue;
    const test::Difference d = test::compare_l2(frozen[i], plain[i], i == 0 ? 2e-2 : 1e-3);
    CHECK_MESSAGE(d.ok, d.message);
  }
}

TEST_CASE("schedules") {
  CHECK(decayed(0.001, 19, 20) == 0.001);
  CHECK(decayed(0.001, 20, 20) == doctest::Approx(1e-4));
  CHECK(decayed(0.001, 59, 20) == doctest::Approx(1e-5));
  CHECK(decayed(0.001, 59, 0) == 0.001);
  CHECK(batches_per_epoch(17793, 0.2) == 3559);  // floor(3558.6) + 1
  CHECK(batches_per_epoch(10, 0.2) == 3);
  CHECK(batches_per_epoch(10, 1.0) == 10);
  CHECK(batches_per_epoch(1, 0.2) == 1);
  FitOptions o;
  o.epochs = 10;
  o.lr = 0.1;
  o.warmup_epochs = 1;
  CHECK(scheduled_rate(o, 0, 4) == doctest::Approx(0.025));
  CHECK(scheduled_rate(o, 3, 4) == doctest::Approx(0.1));
  CHECK(scheduled_rate(o, 22, 4) == doctest::Approx(0.05));  // halfway from 4 to 40
  CHECK(scheduled_rate(o, 40, 4) == doctest::Approx(0.0));
  o.schedule = "step";
  o.lrde = 3;
  CHECK(scheduled_rate(o, 11, 4) == doctest::Approx(0.1));
  CHECK(scheduled_rate(o, 12, 4) == doctest::Approx(0.01));
}

TEST_CASE("every figure is logged in every step; --json says the same on stdout") {
  const Ended ended = finish(
      data().train("figures", {"--fixed_classifier", "--mask_in_criterion", "crossentropy", "--epochs", "2", "--do_val",
                               "--val_json", data().val, "--json", "--limit", "17", "--actual_save_freq", "2"}));
  const std::set<std::string> step_only{"step_ms", "load_ms"};
  const std::set<std::string> expected{"epoch",
                                       "step",
                                       "classifier_loss",
                                       "acc",
                                       "mask_avg",
                                       "mask_std",
                                       "mask_entropy",
                                       "mask_tv",
                                       "masked_in___classifier_loss",
                                       "masked_in___acc",
                                       "masked_in___correct_on_masked",
                                       "masked_in___mask_reg",
                                       "masked_out___classifier_loss",
                                       "masked_out___acc",
                                       "masked_out___mistaken_on_masked",
                                       "masked_out___nontrivially_confused",
                                       "masked_out___mask_reg",
                                       "masked_total___classifier_loss",
                                       "masked_total___loss"};
  const auto names = [&](const rapidjson::Document& line) {
    std::set<std::string> out;
    for (const auto& m : line.GetObject()) out.insert(m.name.GetString());
    for (const std::string& name : step_only) out.erase(name);
    return out;
  };
  const auto steps = json_lines(slurp(data().at("figures", "log/train.jsonl")));
  const auto validations = json_lines(slurp(data().at("figures", "log/val.jsonl")));
  REQUIRE(steps.size() == 10);  // 17 images make 5 batches, the last of one image
  REQUIRE(validations.size() == 2);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    CHECK(names(steps[i]) == expected);
    CHECK(steps[i]["step"].GetInt64() == static_cast<std::int64_t>(i));
    CHECK(steps[i]["mask_std"].IsNull() == (i % 5 == 4));
    CHECK(steps[i]["acc"].GetDouble() <= 100);
  }
  for (const auto& line : validations) CHECK(names(line) == expected);
  CHECK(validations[1]["step"].GetInt64() == 10);

  std::size_t said_steps = 0, said_validations = 0;
  for (const auto& line : json_lines(ended.out)) {
    const std::string event = line["event"].GetString();
    const auto& same = event == "step" ? steps.at(said_steps++) : validations.at(said_validations++);
    CHECK(line["masked_total___loss"].GetDouble() == same["masked_total___loss"].GetDouble());
  }
  CHECK(said_steps == 10);
  CHECK(said_validations == 2);
  CHECK_FALSE(std::filesystem::exists(data().at("figures", "epoch_000.chk")));
  CHECK(std::filesystem::exists(data().at("figures", "epoch_001.chk")));
  // The means of an epoch pass over what was not defined.
  CHECK_FALSE(contains(slurp(data().at("figures", "metrics.csv")), "nan"));
}

TEST_CASE("one batch is learned by heart, and it is the same batch in all epochs") {
  // The masker is to change the classifier's mind on the removed side, at a small price for the area.
  finish(data().train(
      "heart", {"--fixed_classifier", "--mask_out_objective_type", "classification", "--mask_out_objective_direction",
                "minimize", "--lambda_r", "0.1", "--overfit_one_batch", "--epochs", "20", "--lr_casme", "0.02"}));
  const auto steps = json_lines(slurp(data().at("heart", "log/train.jsonl")));
  REQUIRE(steps.size() == 120);
  const double first = steps.front()["masked_total___loss"].GetDouble(),
               last = steps.back()["masked_total___loss"].GetDouble();
  CHECK_MESSAGE(last < first - 0.04, first, " -> ", last);
  // The fixed classifier sees the same pixels, to the bit.
  for (const auto& line : steps) CHECK(line["classifier_loss"].GetDouble() == steps[0]["classifier_loss"].GetDouble());
}

TEST_CASE("perc_of_training, learning rates and the kldivergence criterion") {
  // 24 images in batches of 2: floor(0.2 * 12) + 1
  Words words = data().train("share", {"--fixed_classifier", "--epochs", "2", "--lr_casme", "0.01", "--lrde", "1"});
  *(std::find(words.begin(), words.end(), "--batch_size") + 1) = "2";
  *(std::find(words.begin(), words.end(), "--perc_of_training") + 1) = "0.2";
  finish(words);
  CHECK(count_lines(data().at("share", "log/train.jsonl")) == 6);

  const std::string config = R"({"prior": "subtract", "kl": "forward", "loss_on_coc": false,
                                 "apply_class_weight": true})";
  put(data().folder / "weights.json", "[0.25, 0.75]");
  const Words divergence{"--fixed_classifier",
                         "--mask_in_criterion",
                         "kldivergence",
                         "--mask_in_criterion_config",
                         config,
                         "--epochs",
                         "2"};
  finish(data().train("kl", divergence));
  finish(data().train("kl-weights", divergence + Words{"--class_weights", data().folder / "weights.json"}));
  const auto a = json_lines(slurp(data().at("kl", "log/train.jsonl"))),
             b = json_lines(slurp(data().at("kl-weights", "log/train.jsonl")));
  REQUIRE(a.size() == 12);
  for (const auto& line : a) CHECK(std::isfinite(line["masked_in___classifier_loss"].GetDouble()));
  CHECK(a[0]["masked_total___loss"].GetDouble() != b[0]["masked_total___loss"].GetDouble());
  put(data().folder / "weights.json", "[0.25]");
  const Ended wrong =
      penumbra(data().train("kl-wrong", divergence + Words{"--class_weights", data().folder / "weights.json"}));
  CHECK(wrong.code == 3);
  CHECK(contains(wrong.err, "is not a JSON list of 2 numbers"));
}

TEST_CASE("an unreadable image is left out and named, until too many are") {
  Metadata list(data().folder / "images", {"left", "right"});
  for (int i = 0; i < 8; ++i) list.add((data().folder / "images/left/p") + std::to_string(2 * i) + ".png", 0);
  put(data().folder / "images/left/broken.png", "no picture");
  list.add(data().folder / "images/left/broken.png", 0);
  list.write(data().folder / "bad.json");
  const auto words = [&](const std::string& name, const Words& more) {
    Words w = data().train(name, Words{"--fixed_classifier", "--epochs", "1"} + more);
    w[2] = data().folder / "bad.json";
    return w;
  };
  finish(words("bad", {}));
  Words chatty = words("chatty", {"--verbose"});
  std::erase(chatty, "--quiet");
  CHECK(contains(finish(chatty).err, "left out: " + (data().folder / "images/left/broken.png")));
  const Ended none = penumbra(words("none", {"--max_bad_share", "0"}));
  CHECK(none.code == 3);
  CHECK(contains(none.err, "broken.png"));
}
