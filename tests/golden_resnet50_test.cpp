// ResNet-50 against the recording: evaluation with all taps and the gradient of the input, a training pass with
// parameter gradients and running statistics, in float32 and double. And: what a backward reads belongs to the call.
#include <doctest/doctest.h>

#include <map>

#include "models/classifier.h"
#include "tensor/ops.h"
#include "tests/golden_state.h"

using namespace pen;

namespace {

const std::vector<std::int64_t> targets{7, 523};

struct Case {
  test::Recorded recorded{"resnet50", 1e-7};
  std::unique_ptr<Classifier> net;
  DType dtype;
  Tensor x, labels = Tensor::from(targets, {2});

  explicit Case(DType type) : dtype(type) {
    Rng rng(1);
    net = make_classifier({.arch = "resnet50"}, rng);
    net->to(dtype);
    test::fill_state(*net, "resnet50.", recorded.seed());
    x = test::fill_activation("resnet50.x", {2, 3, 224, 224}, recorded.seed(), dtype, 2);
  }

  void check(const std::string& name, const test::Answer& got) const {
    const test::Difference d = recorded.compare(name, got, dtype);
    CHECK_MESSAGE(d.ok, d.message);
  }
};

void check_evaluation(DType dtype) {
  Case c(dtype);
  c.net->eval();
  c.net->set_requires_grad(false);
  c.x.set_requires_grad(true);
  const ClassifierOutput out = c.net->forward(c.x);
  const Tensor loss = ops::mean(ops::cross_entropy(out.logits, c.labels));
  c.check("eval.logits", test::activation(out.logits));
  c.check("eval.loss", {{}, {loss.item()}});
  REQUIRE(out.taps.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) c.check("eval.layer" + std::to_string(i), test::activation(out.taps[i]));
  backward(loss);
  c.check("eval.dx", test::activation(c.x.grad()));
}

void check_training(DType dtype) {
  Case c(dtype);
  c.net->train();
  const Tensor logits = c.net->logits(c.x);
  const Tensor loss = ops::mean(ops::cross_entropy(logits, c.labels));
  c.check("train.logits", test::activation(logits));
  c.check("train.loss", {{}, {loss.item()}});
  backward(loss);

  std::map<std::string, Tensor> state;
  for (const NamedTensor& t : c.net->state()) state[t.name] = t.tensor;
  const auto gradients = c.recorded.names("train.grad."), after = c.recorded.names("train.after.");
  CHECK(!gradients.empty());
  CHECK(!after.empty());
  for (const std::string& name : gradients) {
    REQUIRE_MESSAGE(state.count(name), name);
    c.check("train.grad." + name, test::parameter(state[name].grad()));
  }
  for (const std::string& name : after) {
    REQUIRE_MESSAGE(state.count(name), name);
    c.check("train.after." + name, test::parameter(state[name]));
  }
  for (const NamedTensor& p : c.net->parameters()) CHECK_MESSAGE(p.tensor.grad().defined(), p.name);
}

}  // namespace

TEST_CASE("resnet50: evaluation in float32") { check_evaluation(DType::f32); }
TEST_CASE("resnet50: evaluation in double") { check_evaluation(DType::f64); }
TEST_CASE("resnet50: training in float32") { check_training(DType::f32); }
TEST_CASE("resnet50: training in double") { check_training(DType::f64); }

namespace {

// Three calls on different images and one backward through all, against three calls with a backward each.
void check_three_calls(bool training, DType dtype) {
  constexpr std::int64_t size = 64;
  const auto image = [&](int i) {
    return test::fill_activation("three." + std::to_string(i), {2, 3, size, size}, 0, dtype, 2).set_requires_grad(true);
  };
  const auto loss_of = [&](Classifier& net, const Tensor& x, int i) {
    return ops::mean(ops::cross_entropy(net.logits(x), Tensor::from<std::int64_t>({i, 7 - i}, {2})));
  };
  const auto fresh = [&] {
    Rng rng(5);
    auto net = make_classifier({.arch = "resnet50", .classes = 10}, rng);
    net->to(dtype);
    net->train(training);
    return net;
  };
  const auto together = fresh(), apart = fresh();

  std::vector<Tensor> x_together, x_apart, losses;
  for (int i = 0; i < 3; ++i) {
    x_together.push_back(image(i));
    losses.push_back(loss_of(*together, x_together.back(), i));
  }
  backward(ops::add(ops::add(losses[0], losses[1]), losses[2]));
  // Backward goes from the last call to the first; gradients are summed in that order here too.
  for (int i = 0; i < 3; ++i) x_apart.push_back(image(i));
  for (int i = 2; i >= 0; --i) backward(loss_of(*apart, x_apart[static_cast<std::size_t>(i)], i));

  for (std::size_t i = 0; i < 3; ++i)
    CHECK_MESSAGE(test::values_of(x_together[i].grad()) == test::values_of(x_apart[i].grad()), "images of call ", i);
  const std::vector<NamedTensor> a = together->parameters(), b = apart->parameters();
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    const test::Difference d = test::compare_l2(
        test::values_of(a[i].tensor.grad()), test::values_of(b[i].tensor.grad()), dtype == DType::f64 ? 1e-14 : 1e-6);
    CHECK_MESSAGE(d.ok, a[i].name, ": ", d.message);
  }
  for (const NamedTensor& t : together->buffers())
    if (t.name.ends_with("num_batches_tracked")) CHECK(t.tensor.item() == (training ? 3 : 0));
}

}  // namespace

TEST_CASE("resnet50: three training calls before one backward give the gradients of three separate calls") {
  check_three_calls(true, DType::f32);
}
TEST_CASE("resnet50: three evaluation calls before one backward give the gradients of three separate calls") {
  check_three_calls(false, DType::f32);
}
