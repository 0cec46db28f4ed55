// A FIX step on ResNet-50 whose masked-out side is infilled by the small network: logged values and the masker
// afterwards.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "models/infill_cnn.h"
#include "tests/golden_state.h"
#include "train/step.h"

using namespace pen;

namespace {

void check_step(DType dtype) {
  const test::Golden golden("infillers.safetensors");
  TrainOptions o;
  OptionValues values(train_options(), &o);
  values.read_json(test::Golden("step_fix.safetensors").meta("config"), "step_fix");
  o.resnet_path = "computed";  // required of a run; the weights here follow a rule
  o.infiller_model = "cnn";
  o.do_infill_for_mask_out = true;
  resolve(o, values);

  Rng rng(1), draws(2);
  const std::unique_ptr<Classifier> classifier = make_classifier({.arch = "resnet50"}, rng);
  MaskerOptions m;
  m.use_layers = {3, 4};
  Masker masker(m, rng);
  CnnInfiller infiller(rng);
  for (const auto& [module, prefix] : {std::pair<Module*, const char*>{classifier.get(), "resnet50."},
                                       {&masker, "masker."},
                                       {&infiller, "infill.cnn."}}) {
    module->to(dtype);
    test::fill_state(*module, prefix, 0);
  }
  Sgd sgd(classifier->parameters(), o.lr, o.momentum, o.weight_decay);
  Adam adam(masker.parameters(), o.lr_casme, o.weight_decay);
  TrainStep step(o, *classifier, masker, sgd, adam);
  step.use_infiller(infiller, nullptr);
  StepBatch batch;
  batch.labels = golden.i64("step_cnn.y");
  batch.images = test::smooth_batch(static_cast<std::int64_t>(batch.labels.size()), 0, dtype);
  const StepLog log = step.train(batch, 0, draws);

  const std::map<std::string, double> got(log.begin(), log.end());
  const std::string prefix = "step_cnn.step0.log.";
  int compared = 0;
  for (const std::string& name : golden.names()) {
    if (name.rfind(prefix, 0) != 0) continue;
    const std::string key = name.substr(prefix.size());
    if (key == "i" || key == "epoch") continue;  // those are the run's, not the step's
    REQUIRE_MESSAGE(got.count(key), key);
    const double want = golden.f64(name).at(0);
    // mask_std is a difference of means, whose rounding it inherits.
    const double scale = std::max(std::abs(want), key == "mask_std" ? 0.1 : 1e-3);
    CHECK_MESSAGE(std::abs(got.at(key) - want) <= 1e-4 * scale, key, ": got ", got.at(key), ", want ", want);
    ++compared;
  }
  CHECK(compared == static_cast<int>(got.size()));
  CHECK(compared >= 15);

  // Adam's first step moves each parameter by about lr, wherever its gradient's sign is certain.
  std::map<std::string, Tensor> state;
  for (const NamedTensor& t : masker.state()) state[t.name] = t.tensor;
  for (const char* name : {"conv1x1_3.0.weight", "conv1x1_4.0.weight", "conv1x1_3.1.weight", "conv1x1_4.1.bias",
                           "final.0.weight", "final.0.bias"}) {
    const test::RecordedTensor want(golden, std::string("step_cnn.masker.") + name);
    const std::vector<double> ours = want.sampled(test::parameter(state.at(name)).values);
    double sum = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) sum += (ours[i] - want.stored()[i]) * (ours[i] - want.stored()[i]);
    const double rms = std::sqrt(sum / static_cast<double>(ours.size()));
    CHECK_MESSAGE(rms <= 0.05 * o.lr_casme, name, ": rms deviation ", rms, " after an update of ", o.lr_casme);
  }
  for (const char* name :
       {"conv1x1_3.1.running_mean", "conv1x1_3.1.running_var", "conv1x1_4.1.running_mean", "conv1x1_4.1.running_var"}) {
    const test::RecordedTensor want(golden, std::string("step_cnn.masker.") + name);
    const test::Difference d = want.compare(test::parameter(state.at(name)), 1e-5);
    CHECK_MESSAGE(d.ok, name, ": ", d.message);
  }
}

}  // namespace

TEST_CASE("step_cnn: infilling masked out, float32") { check_step(DType::f32); }
TEST_CASE("step_cnn: infilling masked out, double") { check_step(DType::f64); }
