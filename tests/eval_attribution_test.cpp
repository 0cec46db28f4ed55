// Attribution methods on networks whose answers can be worked out by hand, and the properties their papers promise.
#include <doctest/doctest.h>

#include <cmath>

#include "eval/attribution/averaged_gradients.h"
#include "eval/attribution/controls.h"
#include "eval/attribution/probe.h"
#include "eval/attribution/registry.h"
#include "tensor/ops.h"
#include "tests/compare.h"
#include "tests/golden_state.h"
#include "tests/toy_classifier.h"

using namespace pen;
using namespace pen::eval;
using Doubles = std::vector<double>;

namespace {

Doubles answer(const std::string& method, pen::Classifier& network, const Tensor& x,
               const std::vector<std::int64_t>& labels, AttributionOptions options = {}) {
  const Method& m = attribution_method(method);
  if (m.at_layer) options.layer = checked_layer(network, x.size(1), options.layer);
  return test::values_of(m.run({network, x, labels, {}, options}).maps.to(DType::f64));
}

void check_near(const Doubles& got, const Doubles& want, double tolerance) {
  const test::Difference d = test::compare_max(got, want, tolerance);
  CHECK_MESSAGE(d.ok, d.message);
}

// A residual network in double with random weights, its norms with statistics of their own.
std::unique_ptr<pen::Classifier> small_resnet(DType type = DType::f64) {
  Rng rng(3);
  auto network = make_classifier({.arch = "resnet18", .classes = 5, .width = 0.125}, rng);
  network->to(type);
  test::fill_state(*network, "toy.", 0);
  network->set_requires_grad(false);
  network->eval();
  return network;
}

// Two channels, each a feature map of its own; class c weighs every pixel of every map.
constexpr std::int64_t S = 3, P = S * S;
const Doubles two_maps = {1, 0, 0, 0, 1, 0};
struct ByPixel {
  Doubles head;                           // (2,2,S,S): classes, maps, pixels
  Tensor x;                               // (1,S,S,3)
  std::vector<Doubles> a{2, Doubles(P)};  // activations of both maps
  std::unique_ptr<test::ToyClassifier> network;

  ByPixel() {
    Rng rng(11);
    for (int i = 0; i < 2 * 2 * P; ++i) head.push_back(rng.uniform(-1, 1));
    Doubles pixels;
    for (std::int64_t p = 0; p < P; ++p)
      for (std::size_t c = 0; c < 3; ++c) {
        pixels.push_back(rng.uniform(-0.5, 1));
        if (c < 2) a[c][static_cast<std::size_t>(p)] = std::max(0.0, pixels.back());
      }
    x = Tensor::from(pixels, {1, S, S, 3});
    network = std::make_unique<test::ToyClassifier>(S, 2, 2, two_maps, head);
  }
  // dz/dA of map k at pixel p, for class 1
  double g(std::size_t k, std::size_t p) const { return head[(2 + k) * P + p]; }

  template <class F>
  Doubles each_pixel(F f) const {
    Doubles out;
    for (std::size_t p = 0; p < P; ++p) out.push_back(f(p));
    return out;
  }
};

}  // namespace

TEST_CASE("attribution: class activation maps equal their formulas on a network with known gradients") {
  const ByPixel toy;
  const auto& a = toy.a;
  const auto relu = [](double v) { return std::max(v, 0.0); };
  const auto sums = [&](auto f) {
    Doubles out(2, 0.0);
    for (std::size_t k = 0; k < 2; ++k)
      for (std::size_t p = 0; p < P; ++p) out[k] += f(k, p);
    return out;
  };
  const Doubles mean = sums([&](std::size_t k, std::size_t p) { return toy.g(k, p) / P; });
  check_near(answer("grad_cam", *toy.network, toy.x, {1}, {.layer = "relu"}),
             toy.each_pixel([&](std::size_t p) { return relu(mean[0] * a[0][p] + mean[1] * a[1][p]); }), 1e-12);

  const auto product = [&](std::size_t p) { return toy.g(0, p) * a[0][p] + toy.g(1, p) * a[1][p]; };
  const Doubles linear = toy.each_pixel(product);
  CHECK(*std::min_element(linear.begin(), linear.end()) < 0);
  check_near(answer("linear_approx", *toy.network, toy.x, {1}, {.layer = "relu"}), linear, 1e-12);
  check_near(answer("hires_cam", *toy.network, toy.x, {1}, {.layer = "relu"}),
             toy.each_pixel([&](std::size_t p) { return relu(product(p)); }), 1e-12);
  check_near(answer("layer_cam", *toy.network, toy.x, {1}, {.layer = "relu"}), toy.each_pixel([&](std::size_t p) {
    return relu(relu(toy.g(0, p)) * a[0][p] + relu(toy.g(1, p)) * a[1][p]);
  }),
             1e-12);

  const Doubles total = sums([&](std::size_t k, std::size_t p) { return a[k][p]; });
  const Doubles w = sums([&](std::size_t k, std::size_t p) {
    const double g = toy.g(k, p);
    return std::pow(g, 2) / (2 * std::pow(g, 2) + total[k] * std::pow(g, 3)) * relu(g);
  });
  check_near(answer("grad_cam_pp", *toy.network, toy.x, {1}, {.layer = "relu"}),
             toy.each_pixel([&](std::size_t p) { return relu(w[0] * a[0][p] + w[1] * a[1][p]); }), 1e-12);
}

TEST_CASE("attribution: gradients equal their formulas where ReLUs are open and closed") {
  const ByPixel toy;
  const Doubles x = toy.x.to_vector<double>();
  const auto open = [&](std::size_t k, std::size_t p) { return x[3 * p + k] > 0; };
  const auto largest = [&](auto f) {
    return toy.each_pixel([&](std::size_t p) { return std::max(std::abs(f(0, p)), std::abs(f(1, p))); });
  };
  using U = std::size_t;
  check_near(answer("gradient", *toy.network, toy.x, {1}),
             largest([&](U k, U p) { return open(k, p) ? toy.g(k, p) : 0.0; }), 1e-12);
  check_near(answer("guided_backprop", *toy.network, toy.x, {1}),
             largest([&](U k, U p) { return open(k, p) ? std::max(toy.g(k, p), 0.0) : 0.0; }), 1e-12);
  check_near(answer("deconvnet", *toy.network, toy.x, {1}),
             largest([&](U k, U p) { return std::max(toy.g(k, p), 0.0); }), 1e-12);
  check_near(answer("input_x_gradient", *toy.network, toy.x, {1}),
             toy.each_pixel([&](U p) { return std::abs(toy.g(0, p) * toy.a[0][p] + toy.g(1, p) * toy.a[1][p]); }),
             1e-12);
  CHECK(relu_rule() == kernels::ReluRule::standard);
}

// An image of side x side whose first channel is `seen` on the left half and `other` on the right one, the second the
// other way round, the third zero.
static Doubles halves(std::int64_t side, double seen, double other) {
  Doubles x;
  for (std::int64_t p = 0; p < side * side; ++p) {
    const bool left = p % side < side / 2;
    for (const double v : {left ? seen : other, left ? other : seen, 0.0}) x.push_back(v);
  }
  return x;
}

TEST_CASE("attribution: Score-CAM on two channels that each see one half of the image") {
  // Map 0 sees the left half, map 1 the right one; class 0 counts them with 3 and 1. Masked to the left half its logit
  // is 3/2 + 1/4, to the right half 1/2 + 1/4: the bias cancels in the softmax.
  constexpr std::int64_t side = 4;
  test::ToyClassifier network(side, 2, 2, two_maps, {3, 1, -1, 2});
  const Doubles x = halves(side, 1, 0);
  const double left = std::exp(1.5) / (std::exp(1.5) + std::exp(0.5));
  Doubles want;
  for (std::int64_t p = 0; p < side * side; ++p) want.push_back(p % side < 2 ? left : 1 - left);
  for (const std::int64_t at_once : {1, 16}) {
    check_near(answer("score_cam", network, Tensor::from(x, {1, side, side, 3}), {0},
                      {.layer = "relu", .internal_batch = at_once}),
               want, 1e-6);
  }
}

TEST_CASE("attribution: Score-CAM stretches maps that are nowhere zero") {
  // As above, but map 0 is 2 on the left half and 1 on the right one, map 1 the other way round: stretched to [0, 1]
  // each still lets one half of the image through. The left half alone gives the means 1 and 1/2, the logit 3 + 1/2.
  constexpr std::int64_t side = 4;
  test::ToyClassifier network(side, 2, 2, two_maps, {3, 1, -1, 2});
  const Doubles x = halves(side, 2, 1);
  const double left = std::exp(3.5) / (std::exp(3.5) + std::exp(2.5));
  Doubles want;
  for (std::int64_t p = 0; p < side * side; ++p) want.push_back(p % side < 2 ? 1 + left : 2 - left);
  check_near(answer("score_cam", network, Tensor::from(x, {1, side, side, 3}), {0}, {.layer = "relu"}), want, 1e-6);
}

TEST_CASE("attribution: CAM is Grad-CAM up to scale where averages feed one linear layer") {
  const auto network = small_resnet();
  const Tensor x = test::fill_activation("toy.x", {2, 3, 128, 128}, 0, DType::f64, 2);
  const std::vector<std::int64_t> labels{1, 4};
  Doubles cam = answer("cam", *network, x, labels);
  REQUIRE(cam.size() == 2 * 16);
  for (double& v : cam) v = std::max(v, 0.0) / 16;
  check_near(answer("grad_cam", *network, x, labels), cam, 1e-12);
  // The mean of CAM is the logit without its bias.
  const Tensor logits = network->logits(x);
  const Doubles all = answer("cam", *network, x, labels), z = logits.to_vector<double>();
  double mean = 0, bias = 0;
  for (std::size_t p = 0; p < 16; ++p) mean += all[16 + p] / 16;
  for (const NamedTensor& t : network->parameters())
    if (t.name == "fc.bias") bias = t.tensor.to_vector<double>()[4];
  CHECK(mean == doctest::Approx(z[9] - bias));
}

TEST_CASE("attribution: CAM refuses a network without such an end") {
  const ByPixel toy;
  CHECK_THROWS_WITH_AS(answer("cam", *toy.network, toy.x, {1}), doctest::Contains("no linear function of the means"),
                       Error);
}

TEST_CASE("attribution: integrated gradients add up to the change of the logit") {
  const auto network = small_resnet();
  const Tensor x = test::fill_activation("toy.x", {2, 3, 64, 64}, 0, DType::f64, 2);
  const std::vector<std::int64_t> labels{1, 4};
  const Doubles z = network->logits(x).to_vector<double>();
  const Doubles zero = network->logits(Tensor::zeros({1, 64, 64, 3}, DType::f64)).to_vector<double>();
  // The larger error of two images, as a share of what is added up: the sum of |attribution|. The change of the logit
  // itself is some hundred times smaller, because positive and negative attributions cancel.
  const auto error = [&](std::int64_t steps) {
    const AttributionOptions options{.internal_batch = 64, .steps = steps};
    const Doubles all = integrated_gradients({*network, x, labels, {}, options}).attribution.to_vector<double>();
    double most = 0;
    for (std::size_t i = 0; i < 2; ++i) {
      double sum = 0, absolute = 0;
      for (std::size_t k = 0; k < all.size() / 2; ++k) {
        sum += all[i * all.size() / 2 + k];
        absolute += std::abs(all[i * all.size() / 2 + k]);
      }
      const auto c = static_cast<std::size_t>(labels[i]);
      const double change = z[5 * i + c] - zero[c];
      CHECK(std::abs(change) > 1e-3);
      CHECK(absolute > 10 * std::abs(change));
      most = std::max(most, std::abs(sum - change) / absolute);
    }
    return most;
  };
  // Along the path the gradient is constant between the places where a ReLU opens or closes, and jumps there. The
  // midpoint rule errs by at most a share of a jump times a step's length: the error falls as 1 / steps, and in steps
  // rather than smoothly.
  for (const std::int64_t steps : {2, 8, 32, 128, 512}) {
    CAPTURE(steps);
    CHECK(error(steps) * static_cast<double>(steps) < 0.04);
  }
  CHECK(error(2) > 5e-3);
  CHECK(error(512) < 3e-5);
}

TEST_CASE("attribution: on a linear network integrated gradients and SmoothGrad are exact at once") {
  // Positive pixels and weights keep every ReLU open, so that the network is linear and its gradient constant.
  test::ToyClassifier network(4, 2, 2, {0.5, 1, 0.25, 1, 0.25, 2}, {1, 2, 3, -1});
  Rng rng(5);
  Doubles pixels;
  for (int i = 0; i < 48; ++i) pixels.push_back(rng.uniform(4, 5));
  const Tensor x = Tensor::from(pixels, {1, 4, 4, 3});
  check_near(answer("integrated_gradients", network, x, {0}, {.steps = 3}), answer("input_x_gradient", network, x, {0}),
             1e-6);
  const Doubles smooth = answer("smooth_grad", network, x, {0}, {.samples = 7, .noise = 0.1});
  check_near(smooth, answer("gradient", network, x, {0}), 1e-12);
}

TEST_CASE("attribution: SmoothGrad averages the gradients of noisy images") {
  const ByPixel toy;
  const Doubles one = answer("smooth_grad", *toy.network, toy.x, {1}, {.samples = 40, .seed = 1});
  CHECK(one == answer("smooth_grad", *toy.network, toy.x, {1}, {.internal_batch = 3, .samples = 40, .seed = 1}));
  CHECK(one != answer("smooth_grad", *toy.network, toy.x, {1}, {.samples = 40, .seed = 2}));
  // A ReLU that noise of one standard deviation above its input closes: open in Phi(x / sigma) of the samples.
  const Doubles x = toy.x.to_vector<double>();
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const double sigma = 0.15 * (*high - *low);
  const auto expected = [&](std::size_t k, std::size_t p) {
    return std::abs(toy.g(k, p)) * 0.5 * std::erfc(-x[3 * p + k] / sigma / std::sqrt(2.0));
  };
  check_near(answer("smooth_grad", *toy.network, toy.x, {1}, {.internal_batch = 100, .samples = 20000}),
             toy.each_pixel([&](std::size_t p) { return std::max(expected(0, p), expected(1, p)); }), 0.02);
}

TEST_CASE("attribution: gradients are those of finite differences through a residual network") {
  const auto network = small_resnet();
  const Tensor x = test::fill_activation("toy.x", {1, 3, 48, 48}, 0, DType::f64, 2);
  const AttributionOptions options;
  const std::vector<std::int64_t> labels{2};
  const InputGradient at = input_gradient({*network, x, labels, {}, options});
  const Doubles g = at.gradient.to_vector<double>(), pixels = x.to_vector<double>();
  Rng rng(2);
  for (int trial = 0; trial < 8; ++trial) {
    const auto k = static_cast<std::size_t>(rng.below(pixels.size()));
    const auto z = [&](double h) {
      Doubles moved = pixels;
      moved[k] += h;
      return network->logits(Tensor::from(moved, x.shape())).to_vector<double>()[2];
    };
    CHECK(g[k] == doctest::Approx((z(1e-6) - z(-1e-6)) / 2e-6).epsilon(1e-4));
  }
}

TEST_CASE("attribution: a network's hooks are free again after a method, also after one that failed") {
  const auto network = small_resnet();
  const Tensor x = test::fill_activation("toy.x", {1, 3, 32, 32}, 0, DType::f64, 2);
  const Doubles before = network->logits(x).to_vector<double>();
  answer("grad_cam", *network, x, {1}, {.layer = "layer2"});
  CHECK_THROWS_AS(answer("grad_cam", *network, x, {9}, {.layer = "layer2"}), Error);
  CHECK(!network->logits(x).requires_grad());
  CHECK(network->logits(x).to_vector<double>() == before);
}
