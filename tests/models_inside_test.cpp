// 16 bit inside classifiers that learn: each operation is the float32 one with its result rounded, parameters and their
// gradients stay float32, narrow copies follow the weights.
#include <doctest/doctest.h>

#include <cmath>

#include "kernels/kernels.h"
#include "layers/basic.h"
#include "models/classifier.h"
#include "tests/compare.h"
#include "tests/golden.h"
#include "tests/gradcheck.h"
#include "train/optim.h"
#include "train/step.h"

using namespace pen;
using namespace pen::test;

namespace {

std::vector<DType> types() {
  std::vector<DType> all{DType::f16};
  if (kernels::device::has_bf16({})) all.push_back(DType::bf16);
  return all;
}
// Half a unit in the last place, relative.
double rounding(DType type) { return type == DType::bf16 ? 0x1p-8 : 0x1p-11; }

// Values of the type, as float32.
Tensor drawn(Shape shape, std::uint64_t seed, DType type, double low = -1, double high = 1) {
  return uniform(std::move(shape), seed, low, high).to(DType::f32).to(type).to(DType::f32);
}
std::vector<double> numbers(const Tensor& t) { return t.to(DType::f32).to(DType::f64).to_vector<double>(); }
void check_near(const std::string& what, const Tensor& got, const Tensor& want, double tolerance) {
  REQUIRE_MESSAGE((got.defined() && want.defined()), what);
  const Difference d = compare_max(numbers(got), numbers(want), tolerance);
  CHECK_MESSAGE(d.ok, what << ": " << d.message);
}

// f(x, parameters) from activations in 16 bit, and in float32: results and gradients differ by a few roundings, all
// gradients of parameters are float32.
using F = std::function<Tensor(const std::vector<Tensor>& x, const std::vector<Tensor>& parameters)>;
void check_rounds(const std::string& what, DType type, const std::vector<Tensor>& x,
                  const std::vector<Tensor>& parameters, double roundings, const F& f) {
  struct Run {
    Tensor y;
    std::vector<Tensor> x, parameters;
  };
  const auto run = [&](DType inside) {
    Run r;
    std::vector<Tensor> entered;
    for (const Tensor& t : x) r.x.push_back(t.clone().set_requires_grad(true));
    for (const Tensor& t : parameters) r.parameters.push_back(t.clone().set_requires_grad(true));
    for (const Tensor& t : r.x) entered.push_back(inside == DType::f32 ? t : ops::convert(t, inside));
    r.y = f(entered, r.parameters);
    const Tensor dy = drawn(r.y.shape(), 77, type);
    backward(r.y, dy.to(r.y.dtype()));
    return r;
  };
  const Run got = run(type), want = run(DType::f32);
  const double tolerance = roundings * rounding(type);
  check_near(what + ": y", got.y, want.y, tolerance);
  for (std::size_t i = 0; i < x.size(); ++i)
    check_near(what + str(": dx ", i), got.x[i].grad(), want.x[i].grad(), tolerance);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    CHECK(got.parameters[i].grad().dtype() == DType::f32);
    check_near(what + str(": parameter ", i), got.parameters[i].grad(), want.parameters[i].grad(), tolerance);
  }
}

double cosine(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = numbers(a), y = numbers(b);
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) xy += x[i] * y[i], xx += x[i] * x[i], yy += y[i] * y[i];
  return xy / std::sqrt(xx * yy);
}

}  // namespace

TEST_CASE("inside: operations in 16 bit are the float32 ones, rounded; gradients of parameters are float32") {
  for (const DType type : types()) {
    const Tensor x = drawn({2, 7, 5, 16}, 1, type), z = drawn({2, 7, 5, 16}, 2, type);
    const Tensor one = Tensor::full({16}, 1.25), small = drawn({16}, 3, type);
    for (const int stride : {1, 2}) {
      check_rounds("conv2d", type, {x}, {drawn({24, 16, 3, 3}, 4, type), drawn({24}, 5, type)}, 2,
                   [stride](const auto& i, const auto& p) {
                     return ops::conv2d(i[0], p[0], p[1], {.stride = stride, .pad = 1});
                   });
      check_rounds("conv2d depthwise", type, {x}, {drawn({16, 1, 3, 3}, 4, type)}, 2,
                   [stride](const auto& i, const auto& p) {
                     return ops::conv2d(i[0], p[0], {}, {.stride = stride, .pad = 1, .groups = 16});
                   });
    }
    for (const bool training : {true, false}) {
      const auto norm = [training](const auto& i, const auto& p, bool relu, const Tensor& residual) {
        Tensor mean = Tensor::full({16}, 0.1), var = Tensor::full({16}, 0.7);
        return ops::batch_norm(i[0], p[0], p[1], mean, var, {.training = training, .relu = relu}, residual);
      };
      // Without a ReLU: near zero one more rounding opens or closes it. Its own case follows.
      check_rounds("batch_norm", type, {x}, {one, small}, 4,
                   [norm](const auto& i, const auto& p) { return norm(i, p, false, {}); });
      check_rounds("batch_norm + residual", type, {x, z}, {one, small}, 4,
                   [norm](const auto& i, const auto& p) { return norm(i, p, false, i[1]); });
    }
    check_rounds("max_pool2d", type, {distinct({2, 6, 4, 3}, 7).to(DType::f32).to(type).to(DType::f32)}, {}, 2,
                 [](const auto& i, const auto&) { return ops::max_pool2d(i[0], {.k = 3, .stride = 2, .pad = 1}); });
    check_rounds("global_avg_pool", type, {x}, {}, 2, [](const auto& i, const auto&) {
      const Tensor y = ops::global_avg_pool(i[0]);
      CHECK(y.dtype() == DType::f32);
      return y;
    });
    check_rounds("leaky_relu", type, {x}, {}, 2, [](const auto& i, const auto&) { return ops::leaky_relu(i[0], 0.1); });
    check_rounds("concat_channels", type, {x, z}, {}, 2, [](const auto& i, const auto&) {
      return ops::concat_channels({i[0], i[1], i[0]});
    });
  }
}

TEST_CASE("inside: a norm's ReLU is closed in its backward where the rounded result is zero") {
  for (const DType type : types()) {
    Tensor x = drawn({64, 8}, 11, type).set_requires_grad(true), z = drawn({64, 8}, 12, type).set_requires_grad(true);
    Tensor gamma = Tensor::full({8}, 1.0).set_requires_grad(true), beta = Tensor::zeros({8}).set_requires_grad(true);
    const Tensor y = ops::batch_norm(ops::convert(x, type), gamma, beta, Tensor::zeros({8}), Tensor::full({8}, 1.0),
                                     {.training = true, .relu = true}, ops::convert(z, type));
    backward(y, Tensor::full(y.shape(), 1.0).to(type));
    const std::vector<double> out = numbers(y), dz = numbers(z.grad());
    std::size_t closed = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      CHECK(dz[i] == (out[i] > 0 ? 1.0 : 0.0));
      closed += out[i] == 0;
    }
    CHECK(closed > 100);
    CHECK(closed < 400);
  }
}

TEST_CASE("inside: a narrow copy is made once, follows its weights and is not changed under a graph that reads it") {
  for (const DType type : types()) {
    Rng rng(3);
    Conv2d layer(8, 8, 3, {.pad = 1}, false, rng);
    const Tensor x = drawn({1, 5, 6, 8}, 5, type).to(type);
    Narrowed narrowed;
    const Tensor first = narrowed.of(layer.weight, type);
    CHECK(first.dtype() == type);
    CHECK(narrowed.of(layer.weight, type).shares_storage(first));
    CHECK_FALSE(narrowed.of(layer.weight, DType::f32).defined());
    const std::vector<double> before = numbers(first);

    const Tensor y = layer.forward(x);
    layer.weight.copy_from(ops::affine(layer.weight.detach(), 2, 0));
    const Tensor second = narrowed.of(layer.weight, type);
    CHECK_FALSE(second.shares_storage(first));  // which is still held here
    CHECK(numbers(first) == before);
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(numbers(second)[i] == 2 * before[i]);
    const Tensor doubled = layer.forward(x);
    for (std::size_t i = 0; i < numbers(y).size(); ++i) CHECK(numbers(doubled)[i] == 2 * numbers(y)[i]);
  }
}

namespace {

struct Net {
  const char* arch;
  double width;
  bool spelled_out;  // its modules round all that a network in 16 bit rounds
};
const Net nets[] = {
    {"resnet18", 0.25, true}, {"resnet50", 0.125, true}, {"resnet20", 0.5, true}, {"mobilenet_v1", 0.5, false}};

struct Seen {
  Tensor logits, dx;
  std::vector<NamedTensor> gradients;
};
// Values of the type become values of the type, whatever is between.
Tensor rounded(const Tensor& x, DType type) { return ops::convert(ops::convert(x, type), DType::f32); }

// One way there and back. spelled_out: in float32, with what comes out of each layer, and its gradient, rounded.
Seen pass(Classifier& net, const Tensor& images, DType inside, bool spelled_out) {
  net.zero_grad();
  net.set_inside(spelled_out ? DType::f32 : inside);
  for (const std::string& name : net.module_names()) {
    Module& m = net.find(name);
    if (dynamic_cast<Conv2d*>(&m) || dynamic_cast<BatchNorm2d*>(&m))
      m.set_forward_hook(spelled_out ? [inside](Module&, const Tensor& y) { return rounded(y, inside); }
                                     : Module::ForwardHook());
  }
  Tensor x = images.clone();
  x.set_requires_grad(true);
  Seen seen;
  const ClassifierOutput out = net.forward(spelled_out ? rounded(x, inside) : x);
  for (const Tensor& tap : out.taps) CHECK(tap.dtype() == net.inside());
  seen.logits = out.logits;
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < images.size(0); ++i) labels.push_back(i % 4);
  // Where gradients in fp16 are far from both its ends.
  backward_scaled(ops::mean(ops::cross_entropy(out.logits, Tensor::from(labels, {images.size(0)}))), 1024);
  seen.dx = x.grad();
  for (const NamedTensor& p : net.parameters()) seen.gradients.push_back({p.name, p.tensor.grad()});
  return seen;
}

}  // namespace

// Against float32 itself such a network says little: each ReLU that falls on the other side moves gradients. Rounded at
// the same places, float32 has the same ReLUs.
TEST_CASE(
    "inside: a classifier that learns in 16 bit is the float32 one with each layer's result and gradient rounded") {
  for (const DType type : types())
    for (const Net& kind : nets)
      for (const bool training : {true, false}) {
        CAPTURE(std::string(kind.arch));
        CAPTURE(std::string(name_of(type)));
        CAPTURE(training);
        Rng rng(5);
        const std::unique_ptr<Classifier> net = make_classifier({kind.arch, 4, kind.width}, rng);
        for (NamedTensor& p : net->parameters())
          if (p.tensor.shape().size() == 4) p.tensor.copy_from(p.tensor.to(type).to(DType::f32));
        for (const std::string& name : net->module_names())
          if (auto* norm = dynamic_cast<BatchNorm2d*>(&net->find(name))) norm->momentum = 1;
        const Tensor images = drawn({8, 64, 64, 3}, 8, type, -2, 2);
        net->train();
        const Seen plain = pass(*net, images, DType::f32, false);
        net->train(training);
        const Seen got = pass(*net, images, type, false), want = pass(*net, images, type, true);
        CHECK(got.logits.dtype() == DType::f32);
        CHECK(numbers(got.logits) != numbers(plain.logits));
        // Sums that are made in another order fall on the other side of a rounding now and then: a large step in bf16.
        const double near = !kind.spelled_out ? 0.6 : type == DType::f16 ? 0.999 : 0.85;
        CHECK(cosine(got.logits, want.logits) > near);
        CHECK(cosine(got.dx, want.dx) > near);
        std::vector<double> all_got, all_want;
        for (std::size_t i = 0; i < got.gradients.size(); ++i) {
          CAPTURE(got.gradients[i].name);
          REQUIRE(got.gradients[i].tensor.defined());
          CHECK(got.gradients[i].tensor.dtype() == DType::f32);
          if (kind.spelled_out) CHECK(cosine(got.gradients[i].tensor, want.gradients[i].tensor) > near);
          const auto a = numbers(got.gradients[i].tensor), b = numbers(want.gradients[i].tensor);
          all_got.insert(all_got.end(), a.begin(), a.end());
          all_want.insert(all_want.end(), b.begin(), b.end());
        }
        const auto n = static_cast<std::int64_t>(all_got.size());
        CHECK(cosine(Tensor::from(all_got, {n}).to(DType::f32), Tensor::from(all_want, {n}).to(DType::f32)) > near);
      }
}

TEST_CASE("inside: a power of two goes into a loss and out of an update exactly; what is not finite stops the update") {
  const auto updated = [](double scale, float gradient_times) {
    Tensor w = uniform({37}, 1).to(DType::f32);
    w.set_requires_grad(true);
    Sgd sgd({{"w", w}}, 0.1, 0.9, 1e-4);
    for (int i = 0; i < 2; ++i) {
      sgd.zero_grad();
      backward_scaled(ops::mean(ops::square(ops::affine(w, gradient_times, 1))), scale);
      Tensor control = update_control({Tensor::zeros({})});
      require_finite(gradients_of(sgd.parameters()), control);
      sgd.step(rescaled(control, 1 / scale));
    }
    return w.to_vector<float>();
  };
  const std::vector<float> plain = updated(1, 1);
  CHECK(updated(1024, 1) == plain);
  CHECK(updated(0x1p24, 1) == plain);
  CHECK(plain != uniform({37}, 1).to(DType::f32).to_vector<float>());
  CHECK(updated(1, 1e30f) == uniform({37}, 1).to(DType::f32).to_vector<float>());
}
