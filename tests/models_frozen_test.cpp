// A frozen copy against the network it was made from: logits, taps and the gradient of the input.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>
#include <tuple>

#include "base/parallel.h"
#include "kernels/kernels.h"
#include "layers/frozen_plan.h"
#include "models/frozen_classifier.h"
#include "tests/blocks.h"
#include "tests/compare.h"
#include "tests/golden_state.h"
#include "tests/skip.h"
#include "tests/toy_classifier.h"

namespace pen {
namespace {

std::unique_ptr<Classifier> network(const std::string& arch, DType dtype, double width = 0.125) {
  Rng rng(3);
  auto net = make_classifier({.arch = arch, .classes = 7, .width = width}, rng);
  test::fill_state(*net, "frozen.", 0);
  net->to(dtype);
  net->eval();
  net->set_requires_grad(false);
  return net;
}

Tensor images(std::int64_t n, std::int64_t size, DType dtype) {
  return Tensor::from(test::fill("frozen.x", {n, size, size, 3}), {n, size, size, 3}).to(dtype);
}

struct Answer {
  std::vector<double> logits, dx;
  std::vector<std::vector<double>> taps;
};

Answer ask(Classifier& net, const Tensor& x) {
  Answer out;
  Tensor leaf = x.clone();
  leaf.set_requires_grad(true);
  const Tensor y = net.logits(leaf);
  const Shape shape = y.shape();
  backward(y, Tensor::from(test::fill("frozen.dy", shape), shape).to(x.dtype()));
  out.logits = y.to(DType::f64).to_vector<double>();
  out.dx = leaf.grad().to(DType::f64).to_vector<double>();
  const NoGrad no_grad;
  for (const Tensor& tap : net.forward(x).taps) out.taps.push_back(tap.to(DType::f64).to_vector<double>());
  return out;
}

// In float32 the folded weights are rounded, and a ReLU at its edge falls on the other side now and then: that moves a
// gradient by far more than its rounding.
void check_same(const Answer& got, const Answer& want, DType dtype) {
  const bool exact = dtype == DType::f64;
  const auto check = [&](const std::string& what, const std::vector<double>& a, const std::vector<double>& b) {
    CAPTURE(what);
    const double tolerance = exact ? 1e-12 : what == "gradient of the input" ? 2e-2 : 2e-5;
    const test::Difference d = test::compare_l2(a, b, tolerance);
    CHECK_MESSAGE(d.ok, d.message);
  };
  check("logits", got.logits, want.logits);
  check("gradient of the input", got.dx, want.dx);
  REQUIRE(got.taps.size() == want.taps.size());
  for (std::size_t i = 0; i < want.taps.size(); ++i) check("tap", got.taps[i], want.taps[i]);
}

}  // namespace

TEST_CASE("a frozen classifier answers as its original: all kinds of block, odd sizes, both precisions") {
  for (const auto& [arch, width] : {std::pair{"resnet18", 0.125},
                                    {"resnet50", 0.125},
                                    {"resnet34", 0.25},
                                    {"resnet20", 0.5},
                                    {"mobilenet_v1", 0.25}})
    for (const std::int64_t size : {32, 52})
      for (const DType dtype : {DType::f64, DType::f32}) {
        CAPTURE(arch);
        CAPTURE(size);
        CAPTURE(name_of(dtype));
        const auto net = network(arch, dtype, width);
        const Tensor x = images(3, size, dtype);
        for (const bool winograd : {false, true}) {
          CAPTURE(winograd);
          const auto frozen = freeze(*net, {.winograd = winograd});
          REQUIRE(frozen);
          CHECK(frozen->arch() == net->arch());
          CHECK(frozen->tap_widths() == net->tap_widths());
          check_same(ask(*frozen, x), ask(*net, x), dtype);
        }
      }
}

TEST_CASE("a frozen classifier: forward alone, no images, two backwards, and life beyond its owner") {
  auto net = network("resnet18", DType::f64);
  auto frozen = freeze(*net);
  const Tensor x = images(2, 32, DType::f64);
  Tensor leaf = x.clone();
  leaf.set_requires_grad(true);
  const Tensor recorded = frozen->logits(leaf);
  CHECK(recorded.requires_grad());
  {
    const NoGrad no_grad;
    CHECK(frozen->logits(leaf).to(DType::f64).to_vector<double>() == recorded.to(DType::f64).to_vector<double>());
  }
  CHECK_FALSE(frozen->logits(x).requires_grad());
  CHECK(frozen->logits(images(0, 32, DType::f64)).shape() == Shape{0, 7});
  CHECK(x.to(DType::f64).to_vector<double>() ==
        leaf.to(DType::f64).to_vector<double>());  // nothing was done in place to the caller's images

  frozen.reset();  // the history holds what it needs
  net.reset();
  const Tensor dy = Tensor::full(recorded.shape(), 1.0, DType::f64);
  backward(recorded, dy, {.retain_graph = true, .only = {}});
  const std::vector<double> once = leaf.grad().to(DType::f64).to_vector<double>();
  leaf.clear_grad();
  backward(recorded, dy);
  CHECK(leaf.grad().to(DType::f64).to_vector<double>() == once);
}

// Both sides of a mask as one batch against two calls of the network itself.
TEST_CASE("a frozen classifier: both sides of a mask in one batch, and the gradient ends at the mask") {
  for (const auto& [arch, size] :
       {std::pair<std::string, std::int64_t>{"resnet50", 52}, {"resnet20", 32}, {"mobilenet_v1", 52}})
    for (const DType dtype : {DType::f64, DType::f32}) {
      CAPTURE(arch);
      CAPTURE(name_of(dtype));
      const auto net = network(arch, dtype, arch == "resnet50" ? 0.125 : 0.5);
      const auto frozen = freeze(*net, {.winograd = true});
      const Tensor x = images(3, size, dtype);
      const Tensor m =
          ops::sigmoid(Tensor::from(test::fill("frozen.m", {3, size, size, 1}), {3, size, size, 1}).to(dtype));
      const Tensor dy = Tensor::from(test::fill("frozen.dy", {6, 7}), {6, 7}).to(dtype);
      const auto answer = [&](Classifier& judge) {
        Tensor leaf = m.clone();
        leaf.set_requires_grad(true);
        const Tensor logits = judge.masked_logits(x, leaf);
        backward(logits, dy);
        return std::pair(logits.to(DType::f64).to_vector<double>(), leaf.grad().to(DType::f64).to_vector<double>());
      };
      const auto [logits, dm] = answer(*frozen);
      const auto [want_logits, want_dm] = answer(*net);
      const bool exact = dtype == DType::f64;
      const test::Difference first = test::compare_l2(logits, want_logits, exact ? 1e-12 : 2e-5);
      const test::Difference second = test::compare_l2(dm, want_dm, exact ? 1e-12 : 2e-2);
      CHECK_MESSAGE(first.ok, first.message);
      CHECK_MESSAGE(second.ok, second.message);
      const NoGrad no_grad;
      CHECK_FALSE(frozen->masked_logits(x, m).requires_grad());
    }
  const auto frozen = freeze(*network("resnet20", DType::f32, 0.5));
  const Tensor x = images(2, 32, DType::f32);
  CHECK_THROWS_WITH_AS(frozen->masked_logits(x, Tensor::zeros({2, 16, 32, 1})),
                       doctest::Contains("masked_logits: mask (2, 16, 32, 1)"), Error);
  CHECK_THROWS_WITH_AS(frozen->masked_logits(x, Tensor::zeros({2, 32, 31, 1})),
                       doctest::Contains("masked_logits: mask"), Error);
}

// The images are the same to the bit, and so is all that comes between them and the mask's gradient.
TEST_CASE("a frozen classifier: a mask of 4x4 pixels a value is that mask repeated, in every type inside") {
  for (const std::string arch : {"resnet50", "mobilenet_v1"})
    for (const DType inside : {DType::f64, DType::f32, DType::bf16, DType::f16}) {
      if (inside == DType::bf16 && !kernels::device::has_bf16({})) continue;
      CAPTURE(arch);
      CAPTURE(name_of(inside));
      const DType dtype = inside == DType::f64 ? DType::f64 : DType::f32;
      const auto net = network(arch, dtype, 0.25);
      set_compute_policy({.frozen = is_16_bit(inside) ? inside : DType::f32});
      const auto frozen = freeze(*net, {.winograd = true, .gradient_scale = 0x1p16});
      set_compute_policy({});
      const Tensor x = images(3, 52, dtype);
      const Tensor m = ops::sigmoid(Tensor::from(test::fill("frozen.m", {3, 13, 13, 1}), {3, 13, 13, 1}).to(dtype));
      const Tensor dy = Tensor::from(test::fill("frozen.dy", {6, 7}), {6, 7}).to(dtype);
      for (Classifier* const judge : {frozen.get(), net.get()}) {
        const auto answer = [&](const Tensor& mask) {
          Tensor leaf = mask.detach();
          leaf.set_requires_grad(true);
          const Tensor logits = judge->masked_logits(x, leaf);
          backward(logits, dy);
          CHECK(leaf.grad().shape() == mask.shape());
          return std::pair(logits.to(DType::f64).to_vector<double>(), test::block_sums(leaf.grad(), mask.size(1) / 13));
        };
        const auto [logits, dm] = answer(m);
        const auto [want_logits, want_dm] = answer(ops::resize_nearest(m, 52, 52));
        CHECK(logits == want_logits);
        const test::Difference d = test::compare_max(dm, want_dm, dtype == DType::f64 ? 1e-13 : 1e-5);
        CHECK_MESSAGE(d.ok, d.message);
      }
    }
}

// On a GPU one batch (train_ahead_test); here what two calls say, to the bit, whatever the groups of images.
TEST_CASE("a frozen classifier, and any other: masked images and clean ones in one call") {
  for (const DType dtype : {DType::f64, DType::f32}) {
    CAPTURE(name_of(dtype));
    const auto net = network("resnet18", dtype);
    const auto frozen = freeze(*net, {.cache_bytes = 40'000});
    const Tensor x = images(3, 52, dtype), clean = images(5, 52, dtype);
    Tensor m = ops::sigmoid(Tensor::from(test::fill("frozen.m", {3, 52, 52, 1}), {3, 52, 52, 1}).to(dtype)).detach();
    m.set_requires_grad(true);
    const Tensor dy = Tensor::from(test::fill("frozen.dy", {6, 7}), {6, 7}).to(dtype);
    const auto values = [](const Tensor& t) { return t.to(DType::f64).to_vector<double>(); };
    const auto gradient = [&](const Tensor& logits) {
      m.clear_grad();
      backward(logits, dy);
      return values(m.grad());
    };
    for (Classifier* judge : {frozen.get(), net.get()}) {
      const Classifier::MaskedAndClean got =
          judge->masked_and_clean(x, m, clean, {true, false, false, true});  // of five taps
      const Tensor masked = judge->masked_logits(x, m);
      const ClassifierOutput want = judge->forward(clean);
      CHECK(values(got.masked) == values(masked));
      CHECK(values(got.clean.logits) == values(want.logits));
      CHECK_FALSE(got.clean.logits.requires_grad());
      REQUIRE(got.clean.taps.size() == 5);
      for (const std::size_t i : {0, 3}) CHECK(values(got.clean.taps[i]) == values(want.taps[i]));
      for (const std::size_t i : {1, 2, 4}) CHECK_FALSE(got.clean.taps[i].defined());
      CHECK(gradient(got.masked) == gradient(masked));
    }
  }
}

// The cache that FreezeOptions asks for decides how many images go together, never what comes out.
TEST_CASE("a frozen classifier: one image at a time, some, or all of them") {
  // In double the plain loops compute; in the others oneDNN and our own loops see pieces of tensors, at sizes (52) that
  // align with nothing.
  enum class How : std::uint8_t { exact, direct, winograd, brain, half };
  for (const auto& [arch, size, how] : {std::tuple<std::string, std::int64_t, How>{"resnet50", 64, How::exact},
                                        {"resnet20", 32, How::exact},
                                        {"resnet50", 52, How::direct},
                                        {"resnet50", 52, How::winograd},
                                        {"resnet50", 52, How::brain},
                                        {"resnet50", 52, How::half},
                                        {"mobilenet_v1", 64, How::exact},
                                        {"mobilenet_v1", 52, How::direct},
                                        {"mobilenet_v1", 52, How::brain},
                                        {"mobilenet_v1", 52, How::half}}) {
    if (how == How::brain && !kernels::device::has_bf16({})) continue;
    CAPTURE(arch);
    CAPTURE(static_cast<int>(how));
    const DType dtype = how == How::exact ? DType::f64 : DType::f32;
    const auto net = network(arch, dtype, arch == "resnet20" || how != How::exact ? 0.5 : 0.125);
    FrozenSteps steps;
    REQUIRE(net->describe(steps));
    const Tensor x = images(5, size, dtype);
    const Tensor m =
        ops::sigmoid(Tensor::from(test::fill("frozen.m", {5, size, size, 1}), {5, size, size, 1})).to(dtype).detach();
    const auto answer = [&](std::int64_t bytes) {
      set_compute_policy({.frozen = how == How::brain ? DType::bf16 : how == How::half ? DType::f16 : DType::f32});
      const auto frozen = freeze(*net, {.winograd = how == How::winograd, .cache_bytes = bytes});
      set_compute_policy({});
      Answer out = ask(*frozen, x);
      Tensor leaf = m.clone();
      leaf.set_requires_grad(true);
      backward(frozen->masked_logits(x, leaf), Tensor::from(test::fill("frozen.dy", {10, 7}), {10, 7}).to(dtype));
      out.taps.push_back(leaf.grad().to(DType::f64).to_vector<double>());
      return out;
    };
    const Answer whole = answer(std::int64_t{1} << 40);
    std::set<std::vector<std::int64_t>> seen;
    for (const std::int64_t bytes : {1, 40'000, 90'000, 150'000, 500'000}) {
      CAPTURE(bytes);
      const FrozenPlan plan(steps, {.cache_bytes = bytes / threads()});
      std::vector<std::int64_t> groups;
      for (const Stretch& s : stretches_of(plan, x.shape(), dtype, {}).list) groups.push_back(s.groups(5));
      seen.insert(groups);
      const Answer got = answer(bytes / threads());
      // A library may sum otherwise for other numbers of images; in 16 bit that may round otherwise.
      const double tolerance = how == How::exact ? 1e-12 : how == How::brain ? 2e-2 : how == How::half ? 4e-3 : 1e-5;
      const auto same = [&](const std::vector<double>& a, const std::vector<double>& b) {
        const test::Difference d = test::compare_l2(a, b, tolerance);
        CHECK_MESSAGE(d.ok, d.message);
      };
      same(got.logits, whole.logits);
      same(got.dx, whole.dx);
      REQUIRE(got.taps.size() == whole.taps.size());
      for (std::size_t i = 0; i < got.taps.size(); ++i) same(got.taps[i], whole.taps[i]);
    }
    CHECK(seen.size() >= 3);  // the sizes above do differ in what they lead to
  }
}

// Bits of one image that are no whole bytes cannot be taken apart: such a network goes on whole.
TEST_CASE("a frozen network whose values are no multiple of eight") {
  Rng rng(5);
  Conv2d first(3, 3, 3, {.pad = 1}, true, rng), second(3, 3, 3, {.pad = 1}, true, rng);
  Linear last(3, 2, rng);
  const auto make = [&](std::int64_t bytes) {
    FrozenSteps steps;
    FrozenSteps::Value v = steps.conv(steps.input(), first, nullptr, true);
    v = steps.conv(v, second, nullptr, true);
    steps.linear(steps.global_avg_pool(v), last);
    return FrozenNetwork(std::move(steps), {.cache_bytes = bytes});
  };
  Tensor x = images(3, 5, DType::f32);
  x.set_requires_grad(true);
  const Tensor dy = Tensor::from(test::fill("frozen.dy", {3, 2}), {3, 2});
  backward(make(1).forward(x, false).logits, dy);
  const std::vector<float> got = x.grad().to_vector<float>();
  x.clear_grad();
  backward(make(std::int64_t{1} << 40).forward(x, false).logits, dy);
  CHECK(x.grad().to_vector<float>() == got);
}

TEST_CASE("a frozen ResNet-50 at 224: two images at a time go through its first stage, nine through its third") {
  const auto net = network("resnet50", DType::f32, 1);
  FrozenSteps steps;
  REQUIRE(net->describe(steps));
  const FrozenPlan plan(std::move(steps), {.cache_bytes = (std::int64_t{7} << 20) / threads()});
  const Shape x{16, 224, 224, 3};
  std::vector<std::int64_t> images, last_channels;
  const Stretches stretches = stretches_of(plan, x, DType::f32, {});
  for (const Stretch& s : stretches.list) {
    images.push_back(s.images);
    last_channels.push_back(stretches.shapes[s.last].back());
  }
  CHECK(images == std::vector<std::int64_t>{2, 4, 9, 16});
  CHECK(last_channels == std::vector<std::int64_t>{512, 1024, 2048, 7});  // the first blocks read what came before
  CHECK(stretches_of(plan, x, DType::f32, {Device::Kind::cuda, 0}).list.size() == 1);
}

namespace {
std::vector<double> mask_gradient(Classifier& judge, const Tensor& x, const Tensor& m, double factor = 1) {
  Tensor leaf = m.clone();
  leaf.set_requires_grad(true);
  const std::int64_t rows = 2 * x.size(0);
  const Tensor dy = Tensor::from(test::fill("frozen.dy", {rows, 7}), {rows, 7}).to(x.dtype());
  backward(judge.masked_logits(x, leaf), ops::affine(dy, factor, 0));
  return leaf.grad().to(DType::f64).to_vector<double>();
}
Tensor mask_of(std::int64_t n, std::int64_t size) {
  return ops::sigmoid(Tensor::from(test::fill("frozen.m", {n, size, size, 1}), {n, size, size, 1}).to(DType::f32))
      .detach();
}
}  // namespace

// 8 or 11 bits of mantissa through some fifty layers, with wider sums. The gradient's distance is that of the ReLUs
// that fall on the other side (bf16, ResNet-50 at 224: 0.068, PyTorch's autocast 0.072 on the same weights); an error
// in a layer is far beyond it.
TEST_CASE("a frozen classifier in 16 bit is near its original, and what leaves it is float32") {
  for (const std::string arch : {"resnet50", "mobilenet_v1"})
    for (const DType inside : {DType::bf16, DType::f16}) {
      if (inside == DType::bf16 && !kernels::device::has_bf16({})) continue;
      CAPTURE(arch);
      CAPTURE(name_of(inside));
      const auto net = network(arch, DType::f32, 0.25);
      const Tensor x = images(4, 64, DType::f32), m = mask_of(4, 64);
      const bool half = inside == DType::f16;
      set_compute_policy({.frozen = inside});
      // MobileNet's gradients are 3e-10 with these weights: the usual scale leaves fp16 four bits of them (0.114).
      const auto frozen = freeze(*net, {.gradient_scale = 0x1p16});
      const auto exact = freeze(*network(arch, DType::f64, 0.25));  // double stays double
      set_compute_policy({});
      const Answer want = ask(*net, x), got = ask(*frozen, x);
      const auto near = [](const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
        const test::Difference d = test::compare_l2(a, b, tolerance);
        CHECK_MESSAGE(d.ok, d.message);
      };
      near(got.logits, want.logits, half ? 4e-3 : 3e-2);
      near(got.dx, want.dx, half ? 1e-1 : 2.5e-1);
      for (std::size_t i = 0; i < want.taps.size(); ++i) near(got.taps[i], want.taps[i], half ? 2.5e-3 : 2e-2);
      CHECK(got.logits != want.logits);
      CHECK(frozen->logits(x).dtype() == DType::f32);
      CHECK(exact->logits(x.to(DType::f64)).dtype() == DType::f64);
      near(mask_gradient(*frozen, x, m), mask_gradient(*net, x, m), half ? 1e-1 : 2.5e-1);
    }
}

// A power of two is exact: where nothing is lost at either scale, both give the same bits.
TEST_CASE("fp16: gradients too small for it come through by the scale, those too large leave as no numbers") {
  const auto net = network("resnet18", DType::f32, 0.25);
  const Tensor x = images(2, 32, DType::f32), m = mask_of(2, 32);
  set_compute_policy({.frozen = DType::f16});
  const auto usual = freeze(*net), twice = freeze(*net, {.gradient_scale = 2048}),
             larger = freeze(*net, {.gradient_scale = 0x1p24}), without = freeze(*net, {.gradient_scale = 1});
  set_compute_policy({});
  const double small = 0x1p-20;
  const std::vector<double> want = mask_gradient(*net, x, m, small);
  const auto error = [&](Classifier& judge) { return test::relative_l2(mask_gradient(judge, x, m, small), want); };
  CHECK(error(*larger) < 1e-1);  // ReLUs on the other side, as above
  CHECK(error(*without) > 0.5);
  CHECK(mask_gradient(*usual, x, m) == mask_gradient(*twice, x, m));
  const auto finite = [](const std::vector<double>& v) {
    return std::all_of(v.begin(), v.end(), [](double a) { return std::isfinite(a); });
  };
  CHECK(finite(mask_gradient(*usual, x, m)));
  CHECK_FALSE(finite(mask_gradient(*usual, x, m, 1e6)));
  CHECK(finite(mask_gradient(*without, x, m, 1e2)));
}

TEST_CASE("fp16: a weight beyond 65504 is refused") {
  const auto net = network("resnet18", DType::f32, 0.25);
  Tensor weight = net->parameters().front().tensor;
  weight.mutable_data<float>()[0] = 1e6f;
  set_compute_policy({.frozen = DType::f16});
  CHECK_THROWS_WITH_AS(freeze(*net), doctest::Contains("fp16 ends at 65504"), Error);
  set_compute_policy({});
  CHECK(freeze(*net) != nullptr);
}

TEST_CASE("every classifier has a frozen form; without one there is none, and 16 bit is refused") {
  for (const std::string& arch : classifier_archs()) {
    CAPTURE(arch);
    CHECK(freeze(*network(arch, DType::f32, 0.0625)));
  }
  const test::ToyClassifier net(4, 2, 3, std::vector<double>(6, 1), std::vector<double>(6, 1), DType::f32);
  CHECK(freeze(net) == nullptr);
  for (const DType inside : {DType::bf16, DType::f16}) {
    set_compute_policy({.frozen = inside});
    const std::string what = str("--precision ", precision_of(inside), " is for classifiers with a frozen form");
    CHECK_THROWS_WITH_AS(freeze(net), doctest::Contains(what.c_str()), Error);
  }
  set_compute_policy({});
}

// Above zero is open, zero itself is not; a gradient passes a closed one by the slope.
TEST_CASE("a frozen network's leaky ReLU") {
  Rng rng(5);
  Conv2d first(8, 8, 1, {}, false, rng), second(8, 8, 1, {}, false, rng);
  Linear last(8, 1, rng);
  std::vector<double> unit(64, 0.0);
  for (std::size_t i = 0; i < 8; ++i) unit[9 * i] = 1;
  for (Conv2d* layer : {&first, &second}) layer->weight = Tensor::from(unit, {8, 8, 1, 1});
  last.weight = Tensor::full({1, 8}, 1.0, DType::f64);
  last.bias = Tensor::full({1}, 0.0, DType::f64);
  FrozenSteps steps;
  FrozenSteps::Value v = steps.conv(steps.input(), first, nullptr, true, FrozenSteps::none, 0.25);
  v = steps.conv(v, second, nullptr, true, FrozenSteps::none, 0.5);
  steps.linear(steps.global_avg_pool(v), last);
  CHECK_THROWS_WITH_AS(steps.conv(v, second, nullptr, true, FrozenSteps::none, 1), doctest::Contains("slope 1"), Error);
  CHECK_THROWS_WITH_AS(steps.conv(v, second, nullptr, true, FrozenSteps::none, -0.1), doctest::Contains("slope -0.1"),
                       Error);
  const FrozenNetwork network(std::move(steps));
  Tensor x = Tensor::from(std::vector<double>{2, -2, 0, 1, -16, 4, -1, 3}, {1, 1, 1, 8});
  x.set_requires_grad(true);
  const Tensor y = network.forward(x, false).logits;
  CHECK(y.to_vector<double>() == std::vector<double>{10 - 19 * 0.125});
  backward(y, Tensor::full({1, 1}, 1.0, DType::f64));
  CHECK(x.grad().to_vector<double>() == std::vector<double>{1, 0.125, 0.125, 1, 0.125, 1, 0.125, 1});
}

TEST_CASE("a frozen classifier: a copy, from evaluation mode only, of finite weights only, and NaN comes out as NaN") {
  auto net = network("resnet18", DType::f32);
  const auto frozen = freeze(*net);
  const Tensor x = images(2, 32, DType::f32);
  const std::vector<double> before = frozen->logits(x).to(DType::f64).to_vector<double>();
  Tensor weight = net->parameters().front().tensor;
  weight.mutable_data<float>()[0] += 1;
  CHECK(frozen->logits(x).to(DType::f64).to_vector<double>() == before);
  weight.mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(freeze(*net), doctest::Contains("a weight of the network is nan"), Error);
  net = network("resnet18", DType::f32);
  net->train();
  CHECK_THROWS_WITH_AS(freeze(*net), doctest::Contains("training mode"), Error);

  Tensor broken = x.clone();
  broken.mutable_data<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<double> spoilt = frozen->logits(broken).to(DType::f64).to_vector<double>();
  for (std::size_t i = 0; i < 7; ++i) {
    CHECK(std::isnan(spoilt[i]));
    CHECK(spoilt[7 + i] == before[7 + i]);
  }
}

}  // namespace pen
