// A step whose masks are coarse, as the masker draws them, against the same step with masks at the image's size: in
// real arithmetic they are one function.
#include <doctest/doctest.h>

#include <set>

#include "kernels/kernels.h"
#include "models/infiller.h"
#include "tests/blocks.h"
#include "tests/compare.h"
#include "tests/tiny_step.h"

using namespace pen;
using namespace pen::test;

namespace {

constexpr std::int64_t n = 4, size = 32, coarse_size = 8;  // the first tap of a ResNet is a quarter of the image

struct Variant {
  std::string name;
  TrainOptions options;
};

std::vector<Variant> variants() {
  TrainOptions base;
  base.mask_in.criterion = base.mask_out.criterion = "crossentropy";
  base.mask_in.objective_type = "classification";
  base.mask_in.lambda_r = 2;
  base.mask_in.lambda_tv = base.mask_out.lambda_tv = 0.01;
  TrainOptions fix = base, areas = base, divergence = base, gumbel = base, filled = base, taught = base, ca = base,
               skip = base, ca_areas = base;
  for (TrainOptions* const o : {&fix, &areas, &divergence, &gumbel, &filled, &taught}) o->fixed_classifier = true;
  areas.add_prob_layers = areas.add_class_ids = true;
  areas.prob_loss_func = "l2";
  for (TrainOptions::Side* const side : {&divergence.mask_in, &divergence.mask_out}) {
    side->criterion = "kldivergence";
    side->criterion_config =
        R"({"prior": "subtract", "kl": "forward", "loss_on_coc": false, "apply_class_weight": true})";
  }
  TrainOptions divergence_areas = divergence;
  divergence_areas.add_prob_layers = true;
  divergence.mask_in.criterion_config =
      R"({"prior": "divide", "kl": "backward", "loss_on_coc": false, "apply_class_weight": false,
          "regularize_always": true})";
  gumbel.apply_gumbel = true;
  filled.infiller_model = "blur";
  filled.do_infill_for_mask_out = true;
  taught.infiller_model = "cnn";
  taught.train_infiller = taught.do_infill_for_mask_in = taught.do_infill_for_mask_out = true;
  ca.prob_historic = 0;
  ca_areas.prob_historic = 0;
  ca_areas.add_prob_layers = true;
  ca_areas.mask_in.criterion = "none";
  skip.prob_historic = 1;
  skip.zoo_mode = "historic";
  skip.save_freq = 1;
  return {{"fix", fix},
          {"fix, target areas", areas},
          {"fix, divergence", divergence},
          {"fix, divergence, target areas", divergence_areas},
          {"fix, Gumbel", gumbel},
          {"fix, infilled", filled},
          {"fix, infilled, the infiller learns", taught},
          {"ca", ca},
          {"ca, one side, target areas", ca_areas},
          {"ca, historic", skip}};
}

StepBatch images(DType dtype) {
  std::vector<float> all(static_cast<std::size_t>(n * size * size * 3));
  Rng rng(21);
  for (float& v : all) v = static_cast<float>(rng.uniform(-2, 2));
  return {Tensor::from(all, {n, size, size, 3}).to(dtype), {0, 1, 2, 1}};
}

// coarse: as it is; fine: a hook wants the mask at the image's size, and all else is the same; plain: without fuse.
enum class How : std::uint8_t { coarse, fine, plain };

struct Seen {
  StepLog validated, trained;
  Tensor mask, gradient;
  std::vector<double> masker, classifier;  // gradients of their weights
};

std::vector<double> gradients(const Module& module) {
  std::vector<double> out;
  for (const NamedTensor& p : module.parameters())
    if (p.tensor.grad().defined())
      for (const double v : p.tensor.grad().to(DType::f64).to_vector<double>()) out.push_back(v);
  return out;
}

Seen look(TrainOptions options, DType dtype, How how) {
  options.fuse = how != How::plain;
  TinyStep tiny(options, {}, dtype);
  std::unique_ptr<Infiller> infiller;
  std::unique_ptr<Adam> adam;
  if (!options.infiller_model.empty()) {
    infiller = make_infiller({.model = options.infiller_model, .to_train = options.train_infiller});
    infiller->to(dtype);
    if (options.train_infiller) {
      infiller->set_requires_grad(true);
      adam = std::make_unique<Adam>(infiller->parameters(), 0.001, 0);
    }
    tiny.step->use_infiller(*infiller, adam.get());
  }
  if (how == How::fine) tiny.masker->set_forward_hook([](Module&, const Tensor&) { return Tensor(); });
  Seen seen;
  tiny.step->mask_observer = [&](const Tensor& mask, const Tensor& gradient) {
    seen.mask = mask, seen.gradient = gradient.clone();
  };
  tiny.step->observer = [&](const char* stage) {
    if (stage == std::string("masked")) seen.classifier = gradients(*tiny.classifier);
    if (stage == std::string("masker")) seen.masker = gradients(*tiny.masker);
  };
  const StepBatch batch = images(dtype);
  Rng draws(11);
  seen.validated = tiny.step->validate(batch, draws);
  seen.trained = tiny.step->train(batch, 0, tiny.draws);
  return seen;
}

void check_near(const std::string& what, const std::vector<double>& got, const std::vector<double>& want,
                double tolerance) {
  CAPTURE(what);
  REQUIRE(got.size() == want.size());
  const Difference d = compare_l2(got, want, tolerance);
  CHECK_MESSAGE(d.ok, d.message);
}

void check_log(const StepLog& got, const StepLog& want, double tolerance) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i].first == want[i].first);
    CHECK_MESSAGE(std::abs(got[i].second - want[i].second) <= tolerance * std::max(std::abs(want[i].second), 1e-2),
                  got[i].first, ": ", got[i].second, ", want ", want[i].second);
  }
}

void check_same(const Seen& coarse, const Seen& fine, double tolerance, bool same_images) {
  REQUIRE(coarse.mask.shape() == Shape{n, coarse_size, coarse_size, 1});
  REQUIRE(coarse.gradient.shape() == coarse.mask.shape());
  REQUIRE(fine.gradient.shape() == Shape{n, size, size, 1});
  const auto mask = ops::resize_nearest(coarse.mask, size, size).to(DType::f64).to_vector<double>(),
             want = fine.mask.to(DType::f64).to_vector<double>();
  if (same_images)
    CHECK(mask == want);
  else
    check_near("mask", mask, want, tolerance);
  check_log(coarse.validated, fine.validated, tolerance);
  check_log(coarse.trained, fine.trained, tolerance);
  check_near("gradient of the mask", coarse.gradient.to(DType::f64).to_vector<double>(),
             block_sums(fine.gradient, size / coarse_size), tolerance);
  check_near("gradients of the masker", coarse.masker, fine.masker, tolerance);
  REQUIRE(coarse.classifier.empty() == fine.classifier.empty());
  if (!coarse.classifier.empty())
    check_near("gradients of the classifier", coarse.classifier, fine.classifier, tolerance);
}

}  // namespace

TEST_CASE("a coarse mask is the fine one: losses, figures and gradients of FIX and CA, every criterion and infilling") {
  for (const Variant& v : variants())
    for (const DType dtype : {DType::f64, DType::f32}) {
      CAPTURE(v.name);
      CAPTURE(name_of(dtype));
      const Seen coarse = look(v.options, dtype, How::coarse);
      for (const auto& [name, value] : coarse.trained)
        if (name == "mask_tv" || name == "mask_std" || (name == "mask_entropy" && !v.options.apply_gumbel))
          CHECK_MESSAGE(value > 0, name);
      // An infiller reads the mask's repetition, whose gradient is summed otherwise: never more than rounding.
      check_same(coarse, look(v.options, dtype, How::fine), dtype == DType::f64 ? 1e-12 : 2e-5, true);
    }
}

TEST_CASE("with fuse off the step stays at the image's size, layer by layer, and says the same in double") {
  for (const Variant& v : variants()) {
    CAPTURE(v.name);
    check_same(look(v.options, DType::f64, How::coarse), look(v.options, DType::f64, How::plain), 1e-9, false);
  }
}

TEST_CASE("a coarse mask is the fine one where the classifier computes in 16 bit") {
  for (const DType inside : {DType::bf16, DType::f16}) {
    if (inside == DType::bf16 && !kernels::device::has_bf16({})) continue;
    for (const Variant& v : variants()) {
      CAPTURE(v.name);
      CAPTURE(name_of(inside));
      TrainOptions options = v.options;
      options.precision = precision_of(inside);
      set_compute_policy({.frozen = inside});
      const Seen coarse = look(options, DType::f32, How::coarse), fine = look(options, DType::f32, How::fine);
      set_compute_policy({});
      check_same(coarse, fine, 2e-5, true);
    }
  }
}

TEST_CASE("a mask that is interpolated, or is not repeated a whole number of times, stays at the image's size") {
  TrainOptions options = variants()[0].options;
  options.upsample = "bilinear";
  CHECK(look(options, DType::f32, How::coarse).mask.shape() == Shape{n, size, size, 1});
  options.upsample = "nearest";
  TinyStep odd(options);
  Tensor mask;
  odd.step->mask_observer = [&](const Tensor& seen, const Tensor&) { mask = seen; };
  StepBatch batch = images(DType::f32);
  batch.images = ops::resize_bilinear(batch.images, 34, 34);
  odd.step->train(batch, 0, odd.draws);
  CHECK(mask.shape() == Shape{n, 34, 34, 1});
}
