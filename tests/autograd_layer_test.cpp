// What the autograd engine promises about layers: rules of ReLUs, several calls before one backward, running
// statistics, memory.
#include <doctest/doctest.h>

#include "tensor/autograd.h"
#include "tensor/ops.h"
#include "tests/leaves.h"
#include "tests/scratch.h"

using namespace pen;
using test::Doubles, test::leaf, test::of, test::uniform;

TEST_CASE("ReLU rules: standard, guided backprop, deconvnet") {
  using kernels::ReluRule;
  const Doubles values{-2, -1, 0, 1, 2, 3}, dy{1, -1, 1, -1, 1, 2};
  const auto gradient = [&](ReluRule rule, bool fused) {
    const ReluRuleScope scope(rule);
    const Tensor x = leaf(Tensor::from(values, {6, 1}));
    const Tensor one = Tensor::full({1}, 1, DType::f64), zero = Tensor::zeros({1}, DType::f64);
    // Fused: a batch norm that is the identity, with ReLU.
    const Tensor y =
        fused ? ops::batch_norm(x, one, zero, zero.clone(), one.clone(), {.eps = 0, .relu = true}) : ops::relu(x);
    CHECK(of(y) == Doubles{0, 0, 0, 1, 2, 3});
    backward(y, Tensor::from(dy, {6, 1}));
    return of(x.grad());
  };
  for (const bool fused : {false, true}) {
    CAPTURE(fused);
    CHECK(gradient(ReluRule::standard, fused) == Doubles{0, 0, 0, -1, 1, 2});
    CHECK(gradient(ReluRule::guided, fused) == Doubles{0, 0, 1, 0, 1, 2});
    CHECK(gradient(ReluRule::deconvnet, fused) == Doubles{1, 0, 1, 0, 1, 2});
  }
  CHECK(relu_rule() == ReluRule::standard);

  // The rule is that of the forward pass.
  const Tensor x = leaf(Tensor::from(values, {6, 1}));
  Tensor y;
  {
    const ReluRuleScope scope(ReluRule::deconvnet);
    y = ops::relu(x);
  }
  backward(y, Tensor::from(dy, {6, 1}));
  CHECK(of(x.grad()) == Doubles{1, 0, 1, 0, 1, 2});
}

namespace {

// Convolution, batch norm in training, ReLU: one layer with parameters and running statistics.
struct Layer {
  Tensor w, gamma, beta, mean, var;
  explicit Layer(DType dtype) {
    const auto parameter = [&](Tensor t) {
      Tensor p = t.to(dtype).clone();
      p.set_requires_grad(true);
      return p;
    };
    w = parameter(uniform({4, 3, 3, 3}, 1));
    gamma = parameter(uniform({4}, 2, 0.5, 1));
    beta = parameter(uniform({4}, 3));
    mean = Tensor::zeros({4}, dtype);
    var = Tensor::full({4}, 1, dtype);
  }
  Tensor operator()(const Tensor& x) const {
    return ops::batch_norm(ops::conv2d(x, w, {}, {.stride = 2, .pad = 1}), gamma, beta, mean, var,
                           {.training = true, .relu = true});
  }
  std::vector<Tensor> parameters() const { return {w, gamma, beta}; }
};

}  // namespace

TEST_CASE("three calls of a layer before one backward give the gradients of three separate calls") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Layer together(dtype), apart(dtype);
    const auto image = [&](int i) { return uniform({2, 7, 6, 3}, 10 + static_cast<std::uint64_t>(i)).to(dtype); };
    const auto weights = [&](int i) { return uniform({2, 4, 3, 4}, 20 + static_cast<std::uint64_t>(i)).to(dtype); };
    std::vector<Tensor> x;
    Tensor loss = Tensor::zeros({}, dtype);
    for (int i = 0; i < 3; ++i) {
      x.push_back(leaf(image(i)));
      loss = ops::add(loss, ops::sum(ops::mul(together(x.back()), weights(i))));
    }
    backward(loss);
    const auto values = [](const Tensor& t) { return of(t.to(DType::f64)); };
    const double tolerance = dtype == DType::f64 ? 1e-13 : 2e-6;
    for (int i = 0; i < 3; ++i) {
      const Tensor alone = leaf(image(i));
      backward(ops::sum(ops::mul(apart(alone), weights(i))));
      const auto d = test::compare_max(values(x[static_cast<std::size_t>(i)].grad()), values(alone.grad()), tolerance);
      CHECK_MESSAGE(d.ok, "image " << i << ": " << d.message);
    }
    for (std::size_t p = 0; p < 3; ++p) {
      const auto d =
          test::compare_max(values(together.parameters()[p].grad()), values(apart.parameters()[p].grad()), tolerance);
      CHECK_MESSAGE(d.ok, "parameter " << p << ": " << d.message);
    }
    CHECK(values(together.mean) == values(apart.mean));
    CHECK(values(together.var) == values(apart.var));
  }
}

TEST_CASE("batch norm: running statistics follow momentum and the sample variance") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = Tensor::from(Doubles{1, 10, 2, 20, 6, 60}, {3, 2}).to(dtype);
    Tensor mean = Tensor::full({2}, 1, dtype), var = Tensor::full({2}, 2, dtype);
    const Tensor one = Tensor::full({2}, 1, dtype), zero = Tensor::zeros({2}, dtype);
    ops::batch_norm(x, one, zero, mean, var, {.training = true, .momentum = 0.25});
    // Channel 0: mean 3, sample variance (4 + 1 + 9) / 2 = 7; channel 1: ten and a hundred times that.
    CHECK(mean.to(DType::f64).to_vector<double>()[0] == doctest::Approx(0.75 + 0.25 * 3));
    CHECK(mean.to(DType::f64).to_vector<double>()[1] == doctest::Approx(0.75 + 0.25 * 30));
    CHECK(var.to(DType::f64).to_vector<double>()[0] == doctest::Approx(1.5 + 0.25 * 7));
    CHECK(var.to(DType::f64).to_vector<double>()[1] == doctest::Approx(1.5 + 0.25 * 700));
    const std::uint64_t version = mean.version();
    ops::batch_norm(x, one, zero, mean, var, {.training = false});
    CHECK(mean.version() == version);
  }
  const Tensor one = Tensor::full({2}, 1, DType::f64);
  test::check_error(ErrorKind::run, {"batch_norm", "more than one value"}, [&] {
    ops::batch_norm(Tensor::zeros({1, 2}, DType::f64), one, one, one.clone(), one.clone(), {.training = true});
  });
}

TEST_CASE("memory: a backward releases what was saved, and the rest goes with the handles") {
  const Device cpu;
  const std::uint64_t before = memory_stats(cpu).live;
  {
    const Layer layer(DType::f32);
    const Tensor x = leaf(uniform({2, 31, 29, 3}, 1).to(DType::f32));
    const std::uint64_t owned = memory_stats(cpu).live;
    std::uint64_t with_graph = 0;
    Tensor loss = ops::sum(ops::square(layer(x)));
    with_graph = memory_stats(cpu).live;
    CHECK(with_graph > owned + 2 * 2 * 16 * 15 * 4 * sizeof(float));  // what norm and square read
    backward(loss);
    // The graph still exists, but holds no activations: parameters, gradients and the loss are left.
    const std::uint64_t after = memory_stats(cpu).live;
    for (const Tensor& p : layer.parameters()) Tensor(p).clear_grad();
    Tensor(x).clear_grad();
    CHECK(memory_stats(cpu).live < after);
    CHECK(memory_stats(cpu).live == owned + MemoryPool::unit);  // the loss: the smallest block
    loss = Tensor();
    CHECK(memory_stats(cpu).live == owned);
  }
  CHECK(memory_stats(cpu).live == before);
}

TEST_CASE("memory: steady steps ask the system for nothing, and the peak is counted") {
  const Device cpu;
  const Layer layer(DType::f32);
  const Tensor x = uniform({2, 31, 29, 3}, 1).to(DType::f32);
  const auto step = [&] {
    backward(ops::mean(ops::square(layer(x))));
    for (Tensor p : layer.parameters()) p.clear_grad();
  };
  for (int i = 0; i < 3; ++i) step();
  const MemoryStats warm = memory_stats(cpu);
  reset_peak_memory(cpu);
  CHECK(memory_stats(cpu).peak == warm.live);
  for (int i = 0; i < 5; ++i) step();
  const MemoryStats later = memory_stats(cpu);
  CHECK(later.system_allocations == warm.system_allocations);
  CHECK(later.live == warm.live);
  CHECK(later.cached == warm.cached);
  CHECK(later.peak > warm.live);
  CHECK(later.peak <= warm.live + warm.cached);

  release_cached_memory(cpu);
  CHECK(memory_stats(cpu).cached == 0);
  CHECK(memory_stats(cpu).live == warm.live);
  step();
  CHECK(memory_stats(cpu).cached > 0);
}

TEST_CASE("memory: a refused allocation is an error and is not counted") {
  const Device cpu;
  const MemoryStats before = memory_stats(cpu);
  CHECK_THROWS_AS(Tensor::empty({std::int64_t{1} << 46}, DType::f64), Error);
  CHECK_THROWS_AS(Tensor::empty({std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
  CHECK(memory_stats(cpu).live == before.live);
  CHECK(memory_stats(cpu).peak == before.peak);
}
