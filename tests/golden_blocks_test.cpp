// Stem and bottlenecks against the recording: outputs, all gradients, running statistics, in float32 and double.
#include <doctest/doctest.h>

#include <map>

#include "models/resnet.h"
#include "tensor/ops.h"
#include "tests/golden_state.h"

using namespace pen;

namespace {

// Stem, two bottlenecks, one bottleneck with stride: what the recording's `about` describes. The stages behind them
// exist and stay unused.
void check(bool training, DType dtype) {
  const test::Recorded recorded("blocks", 1e-9);
  Rng rng(1);
  ResNet net({.bottleneck = true, .blocks = {2, 1, 1, 1}}, rng);
  net.to(dtype);
  test::fill_state(net, "blocks.", recorded.seed());
  net.train(training);

  const std::string mode = training ? "train." : "eval.";
  Tensor x = test::fill_activation("blocks.x", {6, 3, 44, 36}, recorded.seed(), dtype, 2);
  x.set_requires_grad(true);
  Tensor y = net.stem(x);
  for (const std::size_t stage : {0, 1})
    for (std::size_t b = 0; b < net.stage(stage).size(); ++b) y = net.stage(stage)[b].forward(y);
  const test::Answer answer = test::activation(y);
  backward(y, test::fill_activation("blocks.dy", answer.shape, recorded.seed(), dtype));

  const auto check_one = [&](const std::string& name, const test::Answer& got) {
    const test::Difference d = recorded.compare(name, got, dtype);
    CHECK_MESSAGE(d.ok, d.message);
  };
  check_one(mode + "y", answer);
  check_one(mode + "dx", test::activation(x.grad()));

  std::map<std::string, Tensor> parameters, buffers;
  for (const NamedTensor& p : net.parameters())
    if (p.tensor.grad().defined()) parameters[p.name] = p.tensor;
  for (const NamedTensor& b : net.buffers()) buffers[b.name] = b.tensor;
  const std::vector<std::string> gradients = recorded.names(mode + "grad.");
  CHECK(gradients.size() == parameters.size());  // each parameter that took part is recorded
  for (const std::string& name : gradients) {
    REQUIRE_MESSAGE(parameters.count(name), name);
    check_one(mode + "grad." + name, test::parameter(parameters[name].grad()));
  }
  const std::vector<std::string> after = recorded.names(mode + "after.");
  CHECK(after.empty() == !training);
  for (const std::string& name : after) {
    REQUIRE_MESSAGE(buffers.count(name), name);
    check_one(mode + "after." + name, test::parameter(buffers[name]));
  }
}

}  // namespace

TEST_CASE("blocks: evaluation in float32") { check(false, DType::f32); }
TEST_CASE("blocks: evaluation in double") { check(false, DType::f64); }
TEST_CASE("blocks: training in float32") { check(true, DType::f32); }
TEST_CASE("blocks: training in double") { check(true, DType::f64); }

TEST_CASE("blocks: evaluation leaves the running statistics alone") {
  Rng rng(1);
  ResNet net({.bottleneck = true, .blocks = {1, 1, 1, 1}, .classes = 3, .base = 8}, rng);
  net.eval();
  const std::vector<NamedTensor> before = copy_state(net);
  net.forward(test::fill_activation("x", {2, 3, 40, 33}, 0, DType::f32));
  const std::vector<NamedTensor> after = net.state();
  for (std::size_t i = 0; i < before.size(); ++i)
    if (before[i].tensor.dtype() == DType::f32)
      CHECK_MESSAGE(before[i].tensor.to_vector<float>() == after[i].tensor.to_vector<float>(), before[i].name);
}

TEST_CASE("samples: strides are odd and errors are seen") {
  CHECK(test::sample_stride(10, 10) == 1);
  CHECK(test::sample_stride(10, 4) == 3);
  CHECK_THROWS(test::sample_stride(10, 5));  // would need an even stride
  CHECK_THROWS(test::sample_stride(10, 11));

  // An error of one element that no sample hits must still move a moment.
  const test::Golden golden("blocks_f64.safetensors");
  const test::RecordedTensor y(golden, "eval.y");
  test::Answer wrong{golden.i64("eval.y#shape"), {}};
  wrong.values.assign(static_cast<std::size_t>(numel_of(wrong.shape)), 0.0);
  const std::int64_t stride =
      test::sample_stride(numel_of(wrong.shape), static_cast<std::int64_t>(golden.f64("eval.y#sample").size()));
  const std::vector<double> sample = golden.f64("eval.y#sample");
  for (std::size_t i = 0; i < sample.size(); ++i) wrong.values[i * static_cast<std::size_t>(stride)] = sample[i];
  REQUIRE(stride > 1);
  CHECK_FALSE(y.compare(wrong, 1e-3).ok);
}
