// Every recorded masker variant: evaluation, logits, training mask, gradients and running statistics, in both types.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "base/json.h"
#include "models/masker.h"
#include "tensor/ops.h"
#include "tests/golden_state.h"

using namespace pen;

namespace {

MaskerOptions options_of(const std::string& variant, const rapidjson::Value& recorded) {
  MaskerOptions o;
  if (variant == "gumbel_hard") {  // recorded in evaluation only, so the list of variants leaves it out
    o.apply_gumbel = true;
    return o;
  }
  REQUIRE_MESSAGE(recorded.HasMember(variant), variant);
  for (const auto& [key, value] : recorded[variant].GetObject()) {
    const std::string name = key.GetString();
    if (name == "use_layers") {
      o.use_layers.clear();
      for (const auto& layer : value.GetArray()) o.use_layers.push_back(layer.GetInt());
    } else if (name == "final_upsample_mode") {
      o.bilinear = std::string(value.GetString()) == "bilinear";
    } else if (name == "add_prob_layers") {
      o.add_prob_layers = value.GetBool();
    } else if (name == "add_class_ids") {
      o.add_class_ids = value.GetBool();
    } else if (name == "apply_gumbel") {
      o.apply_gumbel = value.GetBool();
    } else if (name == "gumbel_output_mode") {
      o.gumbel_mode = parse_gumbel_mode(value.GetString());
    } else {
      FAIL("an option that this test does not know: " << name);
    }
  }
  return o;
}

struct Case {
  test::Recorded recorded{"maskers", 1e-9};
  DType dtype;
  std::set<std::string> variants;
  rapidjson::Document options = parse_json(recorded.meta("variants"), "variants");
  MaskerInput input;

  explicit Case(DType type) : dtype(type) {
    for (const std::string& name : recorded.names("")) variants.insert(name.substr(0, name.find('.')));
    for (const auto& v : options.GetObject()) REQUIRE(variants.count(v.name.GetString()));
    const std::int64_t sizes[] = {56, 56, 28, 14, 7};
    for (std::size_t i = 0; i < 5; ++i)
      input.taps.push_back(ops::relu(test::fill_activation("layers." + std::to_string(i),
                                                           {2, MaskerOptions{}.tap_widths[i], sizes[i], sizes[i]},
                                                           recorded.seed(), dtype)));
    // Target areas were not rounded to float32 for the recording in double.
    input.p = dtype == DType::f64 ? Tensor::from<double>({0.3, 0.6}, {2}) : Tensor::from<float>({0.3f, 0.6f}, {2});
    input.class_ids = Tensor::from<std::int64_t>({3, 977}, {2});
  }

  std::unique_ptr<Masker> make(const std::string& variant) const {
    Rng rng(1);
    auto masker = std::make_unique<Masker>(options_of(variant, options), rng);
    masker->to(dtype);
    test::fill_state(*masker, "masker.", recorded.seed());
    return masker;
  }

  void check(const std::string& name, const test::Answer& got) const {
    const test::Difference d = recorded.compare(name, got, dtype);
    CHECK_MESSAGE(d.ok, d.message);
  }
};

void check_evaluation(DType dtype) {
  const Case c(dtype);
  const NoGrad no_grad;
  for (const std::string& variant : c.variants) {
    const auto masker = c.make(variant);
    masker->eval();
    c.check(variant + ".eval.mask", test::activation(masker->forward(c.input)));
    if (!c.recorded.has(variant + ".eval.no_sigmoid")) continue;
    MaskerInput logits = c.input;
    logits.no_sigmoid = true;
    c.check(variant + ".eval.no_sigmoid", test::activation(masker->forward(logits)));
  }
}

void check_training(DType dtype) {
  const Case c(dtype);
  std::size_t trained = 0;
  for (const std::string& variant : c.variants) {
    if (!c.recorded.has(variant + ".train.mask")) continue;
    ++trained;
    const auto masker = c.make(variant);
    masker->train();
    const Tensor mask = masker->forward(c.input);
    const test::Answer answer = test::activation(mask);
    c.check(variant + ".train.mask", answer);
    backward(mask, test::fill_activation("masker.dmask", answer.shape, c.recorded.seed(), dtype));

    std::map<std::string, Tensor> state;
    for (const NamedTensor& t : masker->state()) state[t.name] = t.tensor;
    const auto gradients = c.recorded.names(variant + ".train.grad.");
    CHECK(gradients.size() == masker->parameters().size());
    for (const std::string& name : gradients) {
      REQUIRE_MESSAGE(state.count(name), variant, ": ", name);
      c.check(variant + ".train.grad." + name, test::parameter(state[name].grad()));
    }
    const auto after = c.recorded.names(variant + ".train.after.");
    CHECK(!after.empty());
    for (const std::string& name : after) {
      REQUIRE_MESSAGE(state.count(name), variant, ": ", name);
      c.check(variant + ".train.after." + name, test::parameter(state[name]));
    }
  }
  CHECK(trained == c.options.MemberCount());
}

}  // namespace

TEST_CASE("maskers: evaluation in float32") { check_evaluation(DType::f32); }
TEST_CASE("maskers: evaluation in double") { check_evaluation(DType::f64); }
TEST_CASE("maskers: training in float32") { check_training(DType::f32); }
TEST_CASE("maskers: training in double") { check_training(DType::f64); }
