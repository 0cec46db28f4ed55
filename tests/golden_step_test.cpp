// Whole training steps against the reference: FIX and CA on a shallow classifier with every gradient, and on ResNet-50
// with the logged values, parameters and running statistics afterwards; in double (sharp) and float32.
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>

#include "kernels/kernels.h"
#include "models/resnet.h"
#include "tests/blocks.h"
#include "tests/golden_state.h"
#include "train/step.h"

using namespace pen;

namespace {

TrainOptions published(const std::string& recording) {
  TrainOptions options;
  OptionValues values(train_options(), &options);
  values.read_json(test::Golden(recording).meta("config"), recording);
  options.resnet_path = "computed";  // required of a run; the weights here follow a rule
  resolve(options, values);
  // The recorded CA step is one that updates the classifier.
  options.prob_historic = 0;
  options.winograd = false;  // the recordings' noise is that of direct sums
  return options;
}

// One step's surroundings: networks with computed weights, optimisers, the step.
struct Case {
  test::Recorded recorded;
  DType dtype;
  TrainOptions options;
  Rng rng{1}, draws{2};
  std::unique_ptr<Classifier> classifier;
  std::unique_ptr<Masker> masker;
  std::unique_ptr<Sgd> sgd;
  std::unique_ptr<Adam> adam;
  std::unique_ptr<TrainStep> step;
  StepBatch batch;

  Case(const std::string& file, const TrainOptions& o, DType type, std::vector<int> layers,
       std::unique_ptr<Classifier> network, const std::string& prefix)
      : recorded(file, 1e-7), dtype(type), options(o), classifier(std::move(network)) {
    MaskerOptions m;
    m.tap_widths = classifier->tap_widths();
    m.use_layers = std::move(layers);
    masker = std::make_unique<Masker>(m, rng);
    classifier->to(dtype);
    masker->to(dtype);
    test::fill_state(*classifier, prefix, recorded.seed());
    test::fill_state(*masker, "masker.", recorded.seed());
    sgd = std::make_unique<Sgd>(classifier->parameters(), o.lr, o.momentum, o.weight_decay);
    adam = std::make_unique<Adam>(masker->parameters(), o.lr_casme, o.weight_decay);
    step = std::make_unique<TrainStep>(o, *classifier, *masker, *sgd, *adam);
    batch.labels = test::Golden(file + "_f64.safetensors").i64("y");
    batch.images = test::smooth_batch(static_cast<std::int64_t>(batch.labels.size()), recorded.seed(), dtype);
  }

  void check(const std::string& name, const test::Answer& got) const {
    const test::Difference d = recorded.compare(name, got, dtype);
    CHECK_MESSAGE(d.ok, d.message);
  }

  // What a logged value is measured against: mask_std is a difference of means of the size of mask_avg, whose rounding
  // it inherits; the others have the size 1.
  static double scale_of(const std::string& name, double value, double mask_avg) {
    return std::max(std::abs(value), name == "mask_std" ? 0.1 * mask_avg : 1e-3);
  }

  // Logged values under prefix; `tolerance` is relative. Indicators, which are counts, must be exact. In float32 a
  // value's noise is not known from one recording of it, so the largest distance between the two recordings counts for
  // all.
  void check_log(const std::string& prefix, const StepLog& log, double tolerance) const {
    const test::Golden exact(file_f64()), rounded(name_ + ".safetensors");
    std::map<std::string, double> got(log.begin(), log.end());
    const auto indicator = [](const std::string& name) {
      return name.ends_with("acc") || name.ends_with("masked") || name.ends_with("confused");
    };
    std::vector<std::string> names;
    for (const std::string& name : recorded.names(prefix))
      if (name != "i" && name != "epoch") names.push_back(name);  // those are the run's, not the step's
    const double average = exact.f64(prefix + "mask_avg").at(0);
    if (dtype == DType::f32)
      for (const std::string& name : names) {
        const double a = exact.f64(prefix + name).at(0), b = rounded.f64(prefix + name).at(0);
        if (!indicator(name)) tolerance = std::max(tolerance, 4 * std::abs(a - b) / scale_of(name, a, average));
      }
    REQUIRE(tolerance < 1e-2);
    for (const std::string& name : names) {
      const double want = exact.f64(prefix + name).at(0);
      REQUIRE_MESSAGE(got.count(name), name);
      const double allowed = indicator(name) ? 1e-12 : tolerance * scale_of(name, want, average);
      CHECK_MESSAGE(std::abs(got.at(name) - want) <= allowed, prefix, name, ": got ", got.at(name), ", want ", want);
    }
    CHECK(names.size() >= 15);
    CHECK(got.size() == names.size());
  }

  // updates: how many updates of the parameters the buffers have seen; in float32 these are noisy (see
  // check_after_update).
  void check_state(const std::string& prefix, const Module& module, bool buffers_only = false, int updates = 0) const {
    std::map<std::string, Tensor> state;
    for (const NamedTensor& t : buffers_only ? module.buffers() : module.state()) state[t.name] = t.tensor;
    std::set<std::string> parameters;
    for (const NamedTensor& t : module.parameters()) parameters.insert(t.name);
    int compared = 0;
    for (const std::string& name : recorded.names(prefix)) {
      if (!state.count(name)) {
        REQUIRE_MESSAGE(buffers_only, prefix, name, " is recorded and not ours");
        continue;
      }
      const bool rounded = dtype == DType::f32;
      if (rounded && parameters.count(name))
        check_after_update(prefix + name, state.at(name));
      else if (rounded && updates > 0)
        check_buffer(prefix + name, state.at(name));
      else
        check(prefix + name, test::parameter(state.at(name)));
      ++compared;
    }
    CHECK(compared > 0);
  }

  // Adam divides each gradient by its own size, so the smallest gradients' relative noise shows in the update, and a
  // sign may fall on the other side. What can be asked of float32 is that the parameters moved alike: the root mean
  // square deviation is a small part of the learning rate, which is what a parameter moves in a step.
  void check_after_update(const std::string& name, const Tensor& parameter) const {
    const test::RecordedTensor want(test::Golden(file_f64()), name);
    const std::vector<double> got = want.sampled(test::parameter(parameter).values);
    double sum = 0;
    for (std::size_t i = 0; i < got.size(); ++i) sum += (got[i] - want.stored()[i]) * (got[i] - want.stored()[i]);
    const double rms = std::sqrt(sum / static_cast<double>(got.size()));
    if (recorded.compare(name, test::parameter(parameter), dtype).ok) return;
    CHECK_MESSAGE(rms <= 0.02 * options.lr_casme, name, ": rms deviation ", rms, " after updates of ",
                  options.lr_casme);
  }

  // A running statistic of activations behind parameters that Adam has moved.
  void check_buffer(const std::string& name, const Tensor& buffer) const {
    const test::RecordedTensor want(test::Golden(file_f64()), name);
    const test::Difference d = test::compare_l2(want.sampled(test::parameter(buffer).values), want.stored(), 1e-3);
    CHECK_MESSAGE(d.ok, name, ": ", d.message);
  }

  // clipped: the factor that the recording's norm was clipped with. The recorder took samples at once, but what it
  // stored whole shared memory with the gradients and so was clipped in place afterwards.
  void check_gradients(const std::string& prefix, const Module& module, double clipped = 1) const {
    const test::Golden golden(file_f64());
    int compared = 0;
    for (const NamedTensor& p : module.parameters()) {
      if (!recorded.has(prefix + p.name)) continue;
      REQUIRE_MESSAGE(p.tensor.grad().defined(), p.name);
      test::Answer gradient = test::parameter(p.tensor.grad());
      if (golden.has(prefix + p.name))
        for (double& v : gradient.values) v *= clipped;
      check(prefix + p.name, gradient);
      ++compared;
    }
    CHECK(compared == static_cast<int>(recorded.names(prefix).size()));
  }

  std::string file_f64() const { return name_ + "_f64.safetensors"; }
  std::string name_;
};

// The gradients' norm, and the factor that an update multiplies them by.
std::pair<double, double> clipping(const std::vector<NamedTensor>& parameters, double max_norm) {
  const std::vector<double> control =
      clipped(update_control({Tensor::zeros({1})}), parameters, max_norm).to_vector<double>();
  return {std::sqrt(control.at(kernels::control_squares)), control.at(kernels::control_scale)};
}

struct SmallMask {
  Tensor mask, gradient;
};

// The recording has the mask and its gradient at the image's size: so has a masker with a hook. `fine`: what that was,
// for the step with coarse masks, which is held to the recording in all else.
SmallMask check_small(DType dtype, bool ca, const SmallMask* fine = nullptr) {
  Rng rng(1);
  auto network = std::make_unique<ResNet>(ResNetShape{true, {1, 1, 1, 1}, 20, 64, "shallow"}, rng);
  Case c("step_small", published(ca ? "step_ca.safetensors" : "step_fix.safetensors"), dtype, {2, 3, 4},
         std::move(network), "small.");
  c.name_ = "step_small";
  const std::string prefix = ca ? "ca." : "fix.";
  Tensor mask, dmask;
  if (fine)
    c.step->mask_observer = [&](const Tensor& seen, const Tensor& gradient) { mask = seen, dmask = gradient.clone(); };
  else
    c.masker->set_forward_hook([&](Module&, const Tensor& result) {
      mask = result;
      result.register_hook([&](const Tensor& gradient) {
        dmask = gradient.clone();
        return Tensor();
      });
      return Tensor();
    });
  c.step->observer = [&](const char* stage) {
    const std::string at = stage;
    if (at == "clean") c.check_gradients("ca.clean_grad.", *c.classifier);
    if (at == "masked") c.check_gradients("ca.masked_grad.", *c.classifier);
    if (at == "masker") {
      const auto [norm, factor] = clipping(c.masker->parameters(), c.options.clip_norm);
      if (dtype == DType::f64) {
        c.check(prefix + "grad_norm", {{}, {norm}});
      } else {
        // One number's distance says little about its noise; that of the gradients which it sums does.
        const test::Golden exact(c.file_f64()), rounded(c.name_ + ".safetensors");
        double noise = 1e-6;
        for (const std::string& name : c.recorded.names(prefix + "masker_grad.")) {
          const test::RecordedTensor a(exact, prefix + "masker_grad." + name),
              b(rounded, prefix + "masker_grad." + name);
          noise = std::max(noise, test::relative_l2(b.stored(), a.stored()));
        }
        const double want = exact.f64(prefix + "grad_norm").at(0);
        REQUIRE(noise < 2e-2);
        CHECK(std::abs(norm - want) <= 4 * noise * want);
      }
      c.check_gradients(prefix + "masker_grad.", *c.masker, factor);
    }
  };
  const StepLog log = c.step->train(c.batch, 0, c.draws);
  c.check_log(prefix + "step0.log.", log, dtype == DType::f64 ? 1e-7 : ca ? 1e-3 : 1e-4);
  REQUIRE(dmask.defined());
  if (fine) {
    REQUIRE(dmask.shape() == Shape{mask.size(0), 56, 56, 1});
    c.check(prefix + "mask", test::activation(ops::resize_nearest(mask, 224, 224)));
    const test::Difference d = test::compare_l2(test::values_of(dmask), test::block_sums(fine->gradient, 4),
                                                dtype == DType::f64 ? 1e-12 : 1e-5);
    CHECK_MESSAGE(d.ok, d.message);
  } else {
    c.check(prefix + "mask", test::activation(mask));
    c.check(prefix + "dmask", test::activation(dmask));
  }
  c.check_state(prefix + "masker.", *c.masker);
  if (ca) c.check_state("ca.classifier_after.", *c.classifier);
  return {mask, dmask};
}

void check_small_both(DType dtype, bool ca) {
  const SmallMask fine = check_small(dtype, ca);
  check_small(dtype, ca, &fine);
}

void check_fix(DType dtype, const std::string& variant, std::vector<int> layers) {
  Rng rng(1);
  Case c("step_fix", published("step_fix.safetensors"), dtype, std::move(layers),
         make_classifier({.arch = "resnet50"}, rng), "resnet50.");
  c.name_ = "step_fix";
  // The input itself, at stride 16.
  const test::Golden golden("step_fix.safetensors");
  const std::vector<double> x = test::channels_first(c.batch.images), want = golden.f64("x");
  std::vector<double> sample;
  for (std::int64_t plane = 0; plane < c.batch.images.size(0) * 3; ++plane)
    for (std::int64_t y = 0; y < 224; y += 16)
      for (std::int64_t i = 0; i < 224; i += 16)
        sample.push_back(x[static_cast<std::size_t>((plane * 224 + y) * 224 + i)]);
  const test::Difference input = test::compare_max(sample, want, 1e-6);
  CHECK_MESSAGE(input.ok, input.message);

  const double tolerance = dtype == DType::f64 ? 1e-7 : 1e-4;
  for (int i = 0; i < 2; ++i)
    c.check_log(variant + ".step" + std::to_string(i) + ".log.", c.step->train(c.batch, i, c.draws), tolerance);
  c.check_state(variant + ".masker.", *c.masker, false, 1);
  c.check_log(variant + ".val.step0.log.", c.step->validate(c.batch, c.draws), tolerance);
  c.check_state(variant + ".val.masker.", *c.masker, false, 1);  // validation changes nothing
}

void check_ca(DType dtype) {
  Rng rng(1);
  Case c("step_ca", published("step_ca.safetensors"), dtype, {3, 4}, make_classifier({.arch = "resnet50"}, rng),
         "resnet50.");
  c.name_ = "step_ca";
  c.check_log("layers34.step0.log.", c.step->train(c.batch, 0, c.draws), dtype == DType::f64 ? 1e-7 : 1e-3);
  // In float32 a third of the signs that Adam sees differ between careful implementations: only running statistics and
  // logged values say something there.
  const bool buffers_only = dtype == DType::f32;
  c.check_state("layers34.classifier.", *c.classifier, buffers_only);
  c.check_state("layers34.masker.", *c.masker, buffers_only);
}

}  // namespace

TEST_CASE("step_small: FIX, double") { check_small_both(DType::f64, false); }
TEST_CASE("step_small: FIX, float32") { check_small_both(DType::f32, false); }
TEST_CASE("step_small: CA, double") { check_small_both(DType::f64, true); }
TEST_CASE("step_small: CA, float32") { check_small_both(DType::f32, true); }
TEST_CASE("step_fix: ResNet-50, taps 3 and 4, float32") { check_fix(DType::f32, "layers34", {3, 4}); }
TEST_CASE("step_fix: ResNet-50, all taps, float32") { check_fix(DType::f32, "layers01234", {0, 1, 2, 3, 4}); }
TEST_CASE("step_fix: ResNet-50, taps 3 and 4, double") { check_fix(DType::f64, "layers34", {3, 4}); }
TEST_CASE("step_fix: ResNet-50, all taps, double") { check_fix(DType::f64, "layers01234", {0, 1, 2, 3, 4}); }
TEST_CASE("step_ca: ResNet-50, float32") { check_ca(DType::f32); }
TEST_CASE("step_ca: ResNet-50, double") { check_ca(DType::f64); }

TEST_CASE("optimizers: SGD, Adam and clipping over six steps") {
  const test::Golden golden("optimizers.safetensors");
  const std::uint64_t seed = golden.seed();
  const auto scaled = [&](const std::string& name, const Shape& shape, float factor) {
    std::vector<float> v = test::fill(name, shape, seed);
    for (float& x : v) x *= factor;
    return Tensor::from(v, shape);
  };
  for (const bool adam : {false, true}) {
    Tensor w = scaled("opt.w", {5, 3}, 1);
    w.set_requires_grad(true);
    std::unique_ptr<Optimizer> optimizer;
    if (adam)
      optimizer = std::make_unique<Adam>(std::vector<NamedTensor>{{"w", w}}, 0.01, 0.01);
    else
      optimizer = std::make_unique<Sgd>(std::vector<NamedTensor>{{"w", w}}, 0.1, 0.9, 0.01);
    for (int i = 0; i < 6; ++i) {
      w.set_grad(scaled("opt.g" + std::to_string(i), {5, 3}, 3));
      optimizer->step();
      const std::string name = (adam ? "adam.after" : "sgd.after") + std::to_string(i);
      const test::Difference d = test::compare_max(test::values_of(w), golden.f64(name), 1e-6);
      CHECK_MESSAGE(d.ok, name, ": ", d.message);
    }
  }
  Tensor a = Tensor::zeros({5, 3}), b = Tensor::zeros({7});
  a.set_grad(scaled("opt.g0", {5, 3}, 3));
  b.set_grad(scaled("opt.g_b", {7}, 40));
  const auto [norm, factor] = clipping({{"a", a}, {"b", b}}, 10);
  CHECK(std::abs(norm - golden.f64("clip.total_norm")[0]) < 1e-5 * norm);
  for (const auto& [name, tensor] : {std::pair{"clip.g1", a}, std::pair{"clip.g2", b}}) {
    std::vector<double> clipped = test::values_of(tensor.grad());
    for (double& v : clipped) v *= factor;
    const test::Difference d = test::compare_max(clipped, golden.f64(name), 1e-6);
    CHECK_MESSAGE(d.ok, name, ": ", d.message);
  }
}
