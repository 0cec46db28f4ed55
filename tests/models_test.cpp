// Networks beside the recordings: sizes, counts, options, initial values, Gumbel modes.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "base/check.h"
#include "layers/losses.h"
#include "models/classifier.h"
#include "models/masker.h"
#include "tensor/ops.h"
#include "tests/golden_state.h"

using namespace pen;

namespace {

std::int64_t parameter_count(const Module& m) {
  std::int64_t total = 0;
  for (const NamedTensor& p : m.parameters()) total += p.tensor.numel();
  return total;
}

Tensor find_parameter(const Module& m, const std::string& name) {
  for (const NamedTensor& p : m.parameters())
    if (p.name == name) return p.tensor;
  FAIL("no parameter " << name);
  return {};
}

// The five maps of a small classifier.
MaskerOptions small_options(std::vector<int> layers) {
  MaskerOptions o;
  o.tap_widths = {6, 8, 10, 12, 14};
  o.use_layers = std::move(layers);
  o.classes = 9;
  return o;
}

MaskerInput small_input(DType dtype = DType::f32) {
  MaskerInput in;
  const std::int64_t sizes[] = {16, 16, 8, 4, 2}, widths[] = {6, 8, 10, 12, 14};
  for (std::size_t i = 0; i < 5; ++i)
    in.taps.push_back(test::fill_activation("tap" + std::to_string(i), {3, widths[i], sizes[i], sizes[i]}, 0, dtype));
  in.height = in.width = 64;
  in.p = Tensor::from<float>({0.3f, 0.5f, 0.7f}, {3}).to(dtype);
  in.class_ids = Tensor::from<std::int64_t>({0, 8, 4}, {3});
  return in;
}

struct Moments {
  double mean = 0, std = 0, lowest = 0, highest = 0;
};
Moments moments(const Tensor& t) {
  Moments m;
  const std::vector<double> v = test::values_of(t);
  m.lowest = m.highest = v.at(0);
  for (const double x : v) {
    m.mean += x / static_cast<double>(v.size());
    m.lowest = std::min(m.lowest, x);
    m.highest = std::max(m.highest, x);
  }
  for (const double x : v) m.std += (x - m.mean) * (x - m.mean) / static_cast<double>(v.size());
  m.std = std::sqrt(m.std);
  return m;
}

}  // namespace

TEST_CASE("classifiers: parameter counts as published") {
  const std::map<std::string, std::int64_t> counts{{"resnet18", 11'689'512},
                                                   {"resnet34", 21'797'672},
                                                   {"resnet50", 25'557'032},
                                                   {"resnet101", 44'549'160},
                                                   {"resnet152", 60'192'808}};
  for (const auto& [arch, count] : counts) {
    Rng rng(1);
    const auto net = make_classifier({.arch = arch}, rng);
    CHECK_MESSAGE(parameter_count(*net) == count, arch);
    CHECK(net->arch() == arch);
  }
}

TEST_CASE("classifiers: any input size, tap widths, classes") {
  for (const char* arch : {"resnet18", "resnet50"}) {
    Rng rng(1);
    const auto net = make_classifier({.arch = arch, .classes = 11, .width = 0.125}, rng);
    net->eval();
    const NoGrad no_grad;
    const std::int64_t expansion = std::string(arch) == "resnet18" ? 1 : 4;
    CHECK(net->tap_widths() ==
          std::vector<std::int64_t>{8, 8 * expansion, 16 * expansion, 32 * expansion, 64 * expansion});
    CHECK(net->classes() == 11);
    for (const auto& [h, w] :
         {std::pair<std::int64_t, std::int64_t>{33, 33}, {64, 64}, {112, 112}, {225, 225}, {64, 97}, {1, 1}}) {
      const ClassifierOutput out = net->forward(test::fill_activation("x", {2, 3, h, w}, 0, DType::f32));
      CHECK(out.logits.shape() == Shape{2, 11});
      REQUIRE(out.taps.size() == 5);
      // Each stride-2 layer gives ceil(size / 2).
      std::int64_t th = (h + 1) / 2, tw = (w + 1) / 2;
      th = (th + 1) / 2, tw = (tw + 1) / 2;
      for (std::size_t i = 0; i < 5; ++i) {
        if (i >= 2) th = (th + 1) / 2, tw = (tw + 1) / 2;
        CHECK(out.taps[i].shape() == Shape{2, th, tw, net->tap_widths()[i]});
      }
      for (const double v : test::values_of(out.logits)) CHECK(std::isfinite(v));
    }
  }
}

TEST_CASE("classifiers: the same seed gives the same network, another seed another") {
  const auto weights = [](std::uint64_t seed) {
    Rng rng(seed);
    return find_parameter(*make_classifier({.arch = "resnet18", .classes = 3, .width = 0.125}, rng), "fc.weight")
        .to_vector<float>();
  };
  CHECK(weights(5) == weights(5));
  CHECK(weights(5) != weights(6));
}

TEST_CASE("classifiers: what cannot be built is a usage error") {
  const auto kind_of = [](const ClassifierOptions& o) {
    Rng rng(1);
    try {
      make_classifier(o, rng);
    } catch (const Error& e) {
      return e.kind();
    }
    return ErrorKind::run;
  };
  CHECK(kind_of({.arch = "resnet51"}) == ErrorKind::usage);
  CHECK(kind_of({.arch = "resnet18", .classes = 0}) == ErrorKind::usage);
  CHECK(kind_of({.arch = "resnet18", .width = 0}) == ErrorKind::usage);
  CHECK(kind_of({.arch = "resnet18", .width = std::nan("")}) == ErrorKind::usage);
}

TEST_CASE("initial values: normal by fan-out, norms 1 and 0, biases uniform by fan-in") {
  Rng rng(7);
  const auto net = make_classifier({.arch = "resnet50"}, rng);
  for (const auto& [name, fan_out] : {std::pair<const char*, double>{"conv1.weight", 49 * 64},
                                      {"layer1.0.conv2.weight", 9 * 64},
                                      {"layer3.0.downsample.0.weight", 1024},
                                      {"layer4.2.conv3.weight", 2048}}) {
    const Tensor w = find_parameter(*net, name);
    const Moments m = moments(w);
    const double std = std::sqrt(2.0 / fan_out), n = static_cast<double>(w.numel());
    // Six standard errors of a sample's mean and deviation.
    CHECK_MESSAGE(std::abs(m.mean) < 6 * std / std::sqrt(n), name);
    CHECK_MESSAGE(std::abs(m.std - std) < 6 * std / std::sqrt(2 * n), name);
    CHECK_MESSAGE(m.highest > 3 * std, name);  // tails: not uniform
  }
  const Moments fc = moments(find_parameter(*net, "fc.weight"));
  const double bound = 1 / std::sqrt(2048.0);
  CHECK(fc.lowest >= -bound);
  CHECK(fc.highest <= bound);
  CHECK(std::abs(fc.std - bound / std::sqrt(3.0)) < 0.01 * bound);
  const Moments bias = moments(find_parameter(*net, "fc.bias"));
  CHECK(bias.highest <= bound);
  CHECK(bias.std > 0.4 * bound);
  for (const NamedTensor& t : net->state()) {
    const bool norm = t.name.find("bn") != std::string::npos || t.name.find("downsample.1") != std::string::npos;
    if (!norm || t.tensor.dtype() != DType::f32) continue;
    const double want = t.name.ends_with("weight") || t.name.ends_with("running_var") ? 1 : 0;
    CHECK_MESSAGE(moments(t.tensor).lowest == want, t.name);
    CHECK_MESSAGE(moments(t.tensor).highest == want, t.name);
  }
}

TEST_CASE("initial values: the masker's last bias is PyTorch's default, its embedding standard normal") {
  double extreme = 0;
  const double bound = 1 / std::sqrt(9.0 * 128);  // 3x3 over two reduced taps
  MaskerOptions o = small_options({3, 4});
  o.add_class_ids = true;
  o.classes = 1000;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Rng rng(seed);
    const Masker masker(o, rng);
    const double b = find_parameter(masker, "final.0.bias").item();
    CHECK(std::abs(b) <= bound);
    extreme = std::max(extreme, std::abs(b));
    if (seed > 0) continue;
    const Moments m = moments(find_parameter(masker, "class_module.embedding.weight"));
    CHECK(std::abs(m.mean) < 6 / std::sqrt(64000.0));
    CHECK(std::abs(m.std - 1) < 6 / std::sqrt(128000.0));
  }
  CHECK(extreme > 0.7 * bound);
}

TEST_CASE("masker: tap 0 beside others takes target areas and class ids, which the reference cannot") {
  for (const bool classes : {false, true}) {
    MaskerOptions o = small_options({0, 2, 4});
    o.add_prob_layers = true;
    o.add_class_ids = classes;
    Rng rng(1);
    Masker masker(o, rng);
    const std::int64_t tap0 = 6 + 1 + (classes ? 64 : 0);
    CHECK(find_parameter(masker, "final.0.weight").shape() == Shape{1, tap0 + 128, 3, 3});
    MaskerInput in = small_input();
    const Tensor mask = masker.forward(in);
    CHECK(mask.shape() == Shape{3, 64, 64, 1});
    backward(mask, test::fill_activation("dmask", {3, 1, 64, 64}, 0, DType::f32));
    for (const NamedTensor& p : masker.parameters()) CHECK_MESSAGE(p.tensor.grad().defined(), p.name);
    // The areas matter, image by image.
    masker.eval();
    const NoGrad no_grad;
    const std::vector<double> before = test::values_of(masker.forward(in));
    in.p = Tensor::from<float>({0.3f, 0.9f, 0.7f}, {3});
    const std::vector<double> after = test::values_of(masker.forward(in));
    const auto image = [](const std::vector<double>& v, std::ptrdiff_t i) {
      return std::vector<double>(v.begin() + i * 4096, v.begin() + (i + 1) * 4096);
    };
    CHECK(image(before, 0) == image(after, 0));
    CHECK(image(before, 1) != image(after, 1));
    CHECK(image(before, 2) == image(after, 2));
  }
}

TEST_CASE("masker: the coarse mask is the mask before it is repeated, where it is repeated and nobody hooks it") {
  const MaskerInput in = small_input();
  const NoGrad no_grad;
  const auto drawn = [&](const MaskerOptions& o, const MaskerInput& input, bool coarse, bool hook = false) {
    Rng rng(1), noise(2);
    Masker masker(o, rng);
    int calls = 0;
    if (hook)
      masker.set_forward_hook([&](Module&, const Tensor& y) {
        ++calls;
        CHECK(y.size(1) == input.height);
        return Tensor();
      });
    const Tensor mask = coarse ? masker.forward_coarse(input, &noise) : masker.forward(input, &noise);
    CHECK(calls == (hook ? 1 : 0));
    return mask;
  };
  MaskerOptions plain = small_options({0, 2, 4}), gumbel = plain, bilinear = plain;
  gumbel.apply_gumbel = true, gumbel.gumbel_mode = GumbelMode::soft;
  bilinear.bilinear = true;
  for (const MaskerOptions& o : {plain, gumbel}) {
    const Tensor coarse = drawn(o, in, true);
    CHECK(coarse.shape() == Shape{3, 16, 16, 1});
    CHECK(test::values_of(ops::resize_nearest(coarse, 64, 64)) == test::values_of(drawn(o, in, false)));
  }
  const auto whole = [&](const MaskerOptions& o, const MaskerInput& input, bool hook) {
    CHECK(test::values_of(drawn(o, input, true, hook)) == test::values_of(drawn(o, input, false)));
  };
  whole(bilinear, in, false);
  whole(plain, in, true);
  MaskerInput other = in;
  for (const auto& [height, width] : {std::pair{65, 64}, {64, 48}, {48, 64}, {8, 8}, {24, 24}}) {
    other.height = height, other.width = width;
    whole(plain, other, false);
  }
  // A factor alone does not say that nearest repeats: it computes indices in float.
  CHECK(ops::nearest_repeats(56, 56, 224, 224) == 4);
  CHECK(ops::nearest_repeats(7, 5, 21, 15) == 3);
  CHECK(ops::nearest_repeats(7, 5, 7, 5) == 1);
  CHECK(ops::nearest_repeats(2, 2, 82, 82) == 0);
  const Tensor two = Tensor::from<float>({0, 1}, {1, 2, 1, 1});
  CHECK(ops::resize_nearest(two, 82, 1).to_vector<float>()[41] == 0);
  CHECK(ops::nearest_repeats(0, 5, 0, 5) == 0);
}

TEST_CASE("masker: masks have the image's size, also where it is odd, and lie in [0, 1]") {
  Rng rng(1);
  const auto net = make_classifier({.arch = "resnet18", .classes = 3, .width = 0.125}, rng);
  MaskerOptions o;
  o.tap_widths = net->tap_widths();
  for (const bool bilinear : {false, true}) {
    o.bilinear = bilinear;
    Masker masker(o, rng);
    net->eval();
    const NoGrad no_grad;
    MaskerInput in;
    in.height = 65, in.width = 97;
    in.taps = net->forward(test::fill_activation("x", {2, 3, 65, 97}, 0, DType::f32)).taps;
    const Tensor mask = masker.forward(in);
    CHECK(mask.shape() == Shape{2, 65, 97, 1});
    const Moments m = moments(mask);
    CHECK(m.lowest >= 0);
    CHECK(m.highest <= 1);
    CHECK(m.std > 0);
  }
}

TEST_CASE("masker: what does not fit is an error that says so") {
  Rng rng(1);
  CHECK_THROWS_AS(Masker(small_options({}), rng), Error);
  CHECK_THROWS_AS(Masker(small_options({4, 3}), rng), Error);
  CHECK_THROWS_AS(Masker(small_options({5}), rng), Error);
  MaskerOptions tau = small_options({4});
  tau.gumbel_tau = 0;
  CHECK_THROWS_AS(Masker(tau, rng), Error);
  for (const char* bad : {"", "3,", ",3", "4,3", "3,3", "5", "a", "3;4"}) CHECK_THROWS_AS(parse_use_layers(bad), Error);
  CHECK(parse_use_layers("0,1,2,3,4") == std::vector<int>{0, 1, 2, 3, 4});
  CHECK(parse_use_layers("4") == std::vector<int>{4});

  MaskerOptions o = small_options({3, 4});
  o.add_prob_layers = true;
  Masker masker(o, rng);
  MaskerInput in = small_input();
  in.p = {};
  CHECK_THROWS_WITH_AS(masker.forward(in), "masker: add_prob_layers needs target areas", Error);
  in = small_input();
  in.taps.pop_back();
  CHECK_THROWS_AS(masker.forward(in), Error);
}

TEST_CASE("Gumbel: noise comes from the random stream, hard masks are 0 or 1, evaluation has no noise") {
  for (const GumbelMode mode : {GumbelMode::hard, GumbelMode::soft}) {
    MaskerOptions o = small_options({3, 4});
    o.apply_gumbel = true;
    o.gumbel_mode = mode;
    Rng rng(1);
    Masker masker(o, rng);
    const MaskerInput in = small_input();
    const auto run = [&](std::uint64_t seed) {
      Rng noise(seed);
      auto values = test::values_of(masker.forward(in, &noise));
      CHECK(noise.position() == 3 * 16 * 16);  // one draw per pixel before the upsampling
      return values;
    };
    const std::vector<double> a = run(11);
    CHECK(a == run(11));
    CHECK(a != run(12));
    bool binary = true;
    for (const double m : a) {
      CHECK(m >= 0);
      CHECK(m <= 1);
      binary = binary && (m == 0 || m == 1);
    }
    CHECK(binary == (mode == GumbelMode::hard));
    CHECK_THROWS_AS(masker.forward(in), Error);  // training without a stream
    masker.eval();
    MaskerInput logits = in;
    logits.no_sigmoid = true;
    const std::vector<double> z = test::values_of(masker.forward(logits)), m = test::values_of(masker.forward(in));
    for (std::size_t i = 0; i < z.size(); ++i) CHECK(m[i] == (z[i] > 0 ? 1.0 : 0.0));
  }
}

TEST_CASE("Gumbel: training masks follow the formula") {
  // y = sigmoid((logits + log(u + 1e-8) - log(1 - u + 1e-8)) / tau), u the stream's uniform draws
  MaskerOptions o = small_options({3, 4});
  o.apply_gumbel = true;
  o.gumbel_mode = GumbelMode::soft;
  o.gumbel_tau = 0.7;
  Rng rng(1);
  Masker masker(o, rng);
  masker.to(DType::f64);
  MaskerInput in = small_input(DType::f64);
  in.height = in.width = 16;  // no upsampling
  Rng noise(21);
  const std::vector<double> got = test::values_of(masker.forward(in, &noise));
  in.no_sigmoid = true;
  const std::vector<double> logits = test::values_of(masker.forward(in));
  Rng again(21);
  std::vector<double> want;
  for (const double z : logits) {
    const double u = again.uniform();
    want.push_back(1 / (1 + std::exp(-(z + std::log(u + 1e-8) - std::log(1 - u + 1e-8)) / 0.7)));
  }
  const test::Difference d = test::compare_max(got, want, 1e-12);
  CHECK_MESSAGE(d.ok, d.message);
}

TEST_CASE("Gumbel: the gradient of hard masks is that of soft ones, and a learned tau gets one") {
  const auto gradients = [](GumbelMode mode, double tau) {
    MaskerOptions o = small_options({3, 4});
    o.apply_gumbel = true;
    o.gumbel_mode = mode;
    o.gumbel_tau = tau;
    Rng rng(1);
    Masker masker(o, rng);
    masker.to(DType::f64);
    Rng noise(31);
    backward(masker.forward(small_input(DType::f64), &noise),
             test::fill_activation("dmask", {3, 1, 64, 64}, 0, DType::f64));
    std::map<std::string, std::vector<double>> out;
    for (const NamedTensor& p : masker.parameters()) out[p.name] = test::values_of(p.tensor.grad());
    return out;
  };
  const auto hard = gradients(GumbelMode::hard, -1), soft = gradients(GumbelMode::soft, -1);
  const auto fixed = gradients(GumbelMode::soft, 0.1);
  CHECK(hard == soft);
  REQUIRE(hard.count("final.tau"));
  CHECK(std::abs(hard.at("final.tau").at(0)) > 0);
  CHECK_FALSE(fixed.count("final.tau"));
  // A learned tau starts at 0.1 (held in float32).
  const test::Difference d = test::compare_l2(soft.at("final.conv.weight"), fixed.at("final.conv.weight"), 1e-6);
  CHECK_MESSAGE(d.ok, d.message);
}

TEST_CASE("Gumbel: the gradient of tau equals finite differences") {
  MaskerOptions o = small_options({3, 4});
  o.apply_gumbel = true;
  o.gumbel_mode = GumbelMode::soft;
  o.gumbel_tau = -1;
  Rng rng(1);
  Masker masker(o, rng);
  masker.to(DType::f64);
  Tensor tau = find_parameter(masker, "final.tau");
  const Tensor w = test::fill_activation("dmask", {3, 1, 64, 64}, 0, DType::f64);
  const auto loss = [&](double value) {
    tau.mutable_data<double>()[0] = value;
    Rng noise(31);
    return ops::sum(ops::mul(masker.forward(small_input(DType::f64), &noise), w));
  };
  constexpr double at = 0.8, step = 1e-5;
  const double slope = (loss(at + step).item() - loss(at - step).item()) / (2 * step);
  backward(loss(at));
  CHECK(std::abs(tau.grad().item() - slope) <= 1e-7 * std::abs(slope) + 1e-9);
}

TEST_CASE("criteria: images of the nothing class carry no loss and a regulariser of their own weight") {
  DivergenceOptions o;
  o.class_weights = {1, 1, 1};
  o.regularize_always = true;
  o.lambda_r = 2;
  CriterionInput in;
  in.mask = Tensor::from<double>({0.25, 0.25, 0.75, 0.75}, {2, 1, 2, 1}).set_requires_grad(true);
  in.masked_logits = Tensor::from<double>({1, 2, 3, -1, 0, 1}, {2, 3}).set_requires_grad(true);
  in.clean_logits = in.masked_logits.detach();
  in.clean_class = Tensor::from(std::vector<std::int64_t>{2, 2}, {2});
  in.labels = {0, 1};
  in.label_ids = Tensor::from(in.labels, {2});
  const CriterionResult all = (*make_divergence_criterion(o))(in);
  CHECK(all.logged.at("mask_reg").read() == doctest::Approx(2 * (0.25 + 0.75) / 2));
  o.nothing_class = 1;
  o.nothing_class_reg_weight = 0.5;
  const CriterionResult result = (*make_divergence_criterion(o))(in);
  CHECK(result.logged.at("mask_reg").read() == doctest::Approx(2 * (0.25 + 0.5 * 0.75) / 2));
  backward(result.total);
  const std::vector<double> d = test::values_of(in.masked_logits.grad());
  CHECK(std::abs(d[0]) > 0);
  for (std::size_t i = 3; i < 6; ++i) CHECK(d[i] == 0);
}
