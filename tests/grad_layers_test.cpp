// Whole layers by finite differences in double with random cotangents: residual blocks, the masker with its options,
// and both criteria, down to every parameter and the input.
#include <doctest/doctest.h>

#include <cmath>

#include "layers/losses.h"
#include "models/masker.h"
#include "models/resnet.h"
#include "tests/golden_state.h"
#include "tests/gradcheck.h"

using namespace pen;

namespace {

// <w, f()> for a fixed random w.
double loss_of(const std::function<Tensor()>& f) {
  NoGrad no_grad;
  const Tensor y = f();
  const std::vector<double> a = y.to_vector<double>(), w = test::cotangent(y, 7).to_vector<double>();
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * w[i];
  return sum;
}

// Gradients of `leaves` at a few random elements each against central differences.
void check(const std::function<Tensor()>& f, std::vector<NamedTensor> leaves) {
  for (NamedTensor& leaf : leaves) leaf.tensor.clear_grad();
  const Tensor y = f();
  backward(y, test::cotangent(y, 7));
  Rng rng(5);
  for (NamedTensor& leaf : leaves) {
    REQUIRE_MESSAGE(leaf.tensor.grad().defined(), leaf.name);
    const std::vector<double> gradient = leaf.tensor.grad().to_vector<double>();
    double scale = 0;
    for (const double g : gradient) scale = std::max(scale, std::abs(g));
    CHECK_MESSAGE(scale > 0, leaf.name, ": the gradient is zero everywhere");
    for (int sample = 0; sample < 4; ++sample) {
      const auto i = static_cast<std::size_t>(rng.below(gradient.size()));
      constexpr double h = 1e-6;
      double* const at = leaf.tensor.mutable_data<double>() + i;
      const double before = *at;
      *at = before + h;
      const double up = loss_of(f);
      *at = before - h;
      const double down = loss_of(f);
      *at = before;
      const double numeric = (up - down) / (2 * h);
      CHECK_MESSAGE(std::abs(numeric - gradient[i]) <= 2e-6 * std::max(scale, 1e-2), leaf.name, "[", i,
                    "]: ", gradient[i], ", by differences ", numeric);
    }
  }
}

Tensor leaf(Tensor t) {
  t.set_requires_grad(true);
  return t;
}

}  // namespace

TEST_CASE("residual blocks: basic and bottleneck, with and without projection, training and evaluation") {
  for (const bool bottleneck : {false, true})
    for (const bool projection : {false, true})
      for (const bool training : {false, true}) {
        CAPTURE(bottleneck);
        CAPTURE(projection);
        CAPTURE(training);
        Rng rng(3);
        const std::int64_t out = ResidualBlock::out_channels(bottleneck, 4);
        ResidualBlock block(bottleneck, projection ? 3 : out, 4, projection ? 2 : 1, rng);
        block.to(DType::f64);
        test::fill_state(block, "block.", 0);
        block.train(training);
        const Tensor x = leaf(test::uniform({2, 5, 7, projection ? 3 : out}, 11));
        std::vector<NamedTensor> leaves = block.parameters();
        leaves.push_back({"x", x});
        check([&] { return block.forward(x); }, leaves);
      }
}

TEST_CASE("the masker with all its options") {
  for (const int variant : {0, 1, 2, 3}) {
    CAPTURE(variant);
    MaskerOptions o;
    o.tap_widths = {3, 4, 5, 6, 7};
    if (variant == 1) o.use_layers = {2, 4}, o.bilinear = true;
    if (variant == 2) o.add_prob_layers = o.add_class_ids = true, o.classes = 3;
    if (variant == 3) o.use_layers = {0};
    Rng rng(2);
    Masker masker(o, rng);
    masker.to(DType::f64);
    masker.train();
    MaskerInput in;
    in.height = 21, in.width = 25;
    const std::int64_t sizes[5][2] = {{6, 7}, {6, 7}, {3, 4}, {2, 2}, {1, 1}};
    for (std::size_t i = 0; i < 5; ++i)
      in.taps.push_back(test::uniform({3, sizes[i][0], sizes[i][1], o.tap_widths[i]}, 20 + i));
    in.p = test::uniform({3}, 30, 0.2, 0.8);
    in.class_ids = Tensor::from<std::int64_t>({0, 2, 1}, {3});
    check([&] { return masker.forward(in); }, masker.parameters());
  }
}

TEST_CASE("both criteria, down to the mask and the logits of the masked image") {
  const std::int64_t n = 4, classes = 5;
  const std::vector<std::int64_t> labels{1, 0, 3, 4};
  const Tensor clean = test::uniform({n, classes}, 41), target = Tensor::from(labels, {n});
  for (const int variant : {0, 1, 2, 3, 4, 5}) {
    CAPTURE(variant);
    std::unique_ptr<Criterion> criterion;
    if (variant < 4) {
      CrossEntropyOptions o;
      o.side = variant % 2 ? MaskSide::out : MaskSide::in;
      o.entropy = variant >= 2;
      o.lambda_r = 3;
      o.lambda_tv = 0.01;
      o.add_prob_layers = variant == 1;
      o.prob_squared = true;
      criterion = make_cross_entropy_criterion(o);
    } else {
      DivergenceOptions o;
      o.backward = variant == 5;
      o.regularize_always = true;
      o.lambda_r = 3;
      o.class_weights = {1, 2, 3, 4, 5};
      criterion = make_divergence_criterion(o);
    }
    const Tensor mask = leaf(test::uniform({n, 5, 6, 1}, 42, 0.1, 0.9));
    Tensor logits = leaf(test::uniform({n, classes}, 43));
    std::vector<std::int64_t> seen = labels;  // right when clean, so that entropy counts every image
    const auto total = [&](const Tensor& m, std::int64_t scale) {
      CriterionInput in;
      in.mask = m;
      in.mask_scale = scale;
      in.masked_logits = logits;
      in.masked_loss = ops::mean(ops::cross_entropy(logits, target));
      in.labels = labels;
      in.label_ids = target;
      in.clean_class = Tensor::from(seen, {n});
      in.clean_logits = clean;
      in.p = test::uniform({n}, 44, 0.2, 0.4);
      return (*criterion)(in).total;
    };
    check([&] { return total(mask, 1); }, {{"mask", mask}, {"logits", logits}});

    // A coarse mask is its repetition: the same total, the same gradients.
    const auto answer = [&](std::int64_t coarse) {
      const Tensor m = leaf(mask.detach().clone());
      logits.clear_grad();
      const Tensor y = coarse ? total(m, coarse) : total(ops::resize_nearest(m, 20, 24), 1);
      backward(y);
      std::vector<double> out{y.item()};
      for (const Tensor& t : {m, logits})
        for (const double g : t.grad().to_vector<double>()) out.push_back(g);
      return out;
    };
    const test::Difference d = test::compare_max(answer(4), answer(0), 1e-13);
    CHECK_MESSAGE(d.ok, d.message);
  }
}

TEST_CASE("masked in and masked out add up to the image") {
  const Tensor x = test::uniform({2, 5, 7, 3}, 51), m = test::uniform({2, 5, 7, 1}, 52, 0, 1);
  const Tensor sum = ops::add(ops::mask_in(x, m), ops::mask_out(x, m));
  const test::Difference d = test::compare_max(sum.to_vector<double>(), x.to_vector<double>(), 1e-15);
  CHECK_MESSAGE(d.ok, d.message);
}
