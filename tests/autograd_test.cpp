// What the autograd engine promises about graphs: any length, saved tensors per call, accumulation, hooks, memory.
#include "tensor/autograd.h"

#include <doctest/doctest.h>
#include <pthread.h>

#include <thread>

#include "tensor/ops.h"
#include "tests/gradcheck.h"
#include "tests/scratch.h"

// Sanitizers end a program that asks for too much memory, unless they are told to refuse as the system does.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

using namespace pen;
using test::uniform;

namespace {

using Doubles = std::vector<double>;

Tensor leaf(const Doubles& values) {
  Tensor t = Tensor::from(values, {static_cast<std::int64_t>(values.size())});
  t.set_requires_grad(true);
  return t;
}
Tensor leaf(const Tensor& t) {
  Tensor copy = t.clone();
  copy.set_requires_grad(true);
  return copy;
}
Doubles of(const Tensor& t) { return t.to_vector<double>(); }

// Runs `body` on a thread with a stack of `bytes`.
void on_small_stack(std::size_t bytes, std::function<void()> body) {
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, bytes) == 0);
  pthread_t thread;
  const auto start = [](void* f) -> void* {
    (*static_cast<std::function<void()>*>(f))();
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, start, &body) == 0);
  REQUIRE(pthread_join(thread, nullptr) == 0);
  pthread_attr_destroy(&attributes);
}

}  // namespace

TEST_CASE("a chain of 200,000 operations needs no deep stack") {
  constexpr int length = 200000;
  double gradient = 0, again = 0, result = 0;
  on_small_stack(256 << 10, [&] {
    const auto chain = [](const Tensor& x) {
      Tensor y = x;
      for (int i = 0; i < length; ++i) y = ops::affine(y, i % 2 ? -1 : 1, 1e-3);
      return y;
    };
    const Tensor x = leaf(Doubles{1.5});
    {
      const Tensor y = chain(x);  // destroyed without a backward
      result = y.item();
    }
    {
      const Tensor y = chain(x);  // destroyed after one that released it
      backward(y);
      gradient = x.grad().item();
    }
    const Tensor y = chain(x);  // destroyed after one that kept it
    backward(y, {}, {.retain_graph = true, .only = {}});
    again = x.grad().item();
  });
  CHECK(result == doctest::Approx(1.5));
  CHECK(gradient == 1);
  CHECK(again == 2);
}

TEST_CASE("a graph of 2^60 paths is walked once per node") {
  const Tensor x = leaf(Doubles{1});
  Tensor y = x;
  for (int i = 0; i < 60; ++i) y = ops::add(y, y);
  backward(y);
  CHECK(x.grad().item() == 0x1p60);
}

TEST_CASE("a saved tensor that was modified in place is an error that names the operation") {
  Tensor x = leaf(Doubles{1, 2, 3});
  Tensor y = ops::square(x);
  x.mutable_data<double>()[0] = 5;
  test::check_error(ErrorKind::run, {"square", "modified in place", "(3)"}, [&] { backward(y, y.detach()); });

  // The result itself, where the backward reads it.
  Tensor s = ops::sigmoid(leaf(Doubles{1, 2}));
  s.mutable_data<double>()[1] = 0;
  test::check_error(ErrorKind::run, {"sigmoid", "modified in place"}, [&] { backward(s); });

  // Through another handle to the same elements.
  const Tensor z = leaf(Doubles{1, 2});
  const Tensor product = ops::mul(z, z);
  z.detach().copy_from(Tensor::full({2}, 7, DType::f64));
  test::check_error(ErrorKind::run, {"mul"}, [&] { backward(product); });

  // Constants that a backward reads: labels and priors.
  Tensor labels = Tensor::from(std::vector<std::int64_t>{1}, {1});
  Tensor prior = Tensor::full({2}, 0.5, DType::f64);
  const Tensor logits = leaf(uniform({1, 2}, 1));
  const Tensor loss = ops::cross_entropy(logits, labels), divergence = ops::prior_divergence(logits, prior, false);
  labels.mutable_data<std::int64_t>()[0] = 0;
  prior.mutable_data<double>()[0] = 0.1;
  test::check_error(ErrorKind::run, {"cross_entropy"}, [&] { backward(loss); });
  test::check_error(ErrorKind::run, {"prior_divergence"}, [&] { backward(divergence); });

  // What no backward reads may change: the gradient of a sum does not depend on its parts.
  Tensor a = leaf(Doubles{1, 2});
  const Tensor sum = ops::add(a, a);
  a.mutable_data<double>()[0] = 9;
  backward(sum);
  CHECK(of(a.grad()) == Doubles{2, 2});
}

TEST_CASE("a second backward needs retain_graph") {
  const Tensor x = leaf(Doubles{3});
  const Tensor y = ops::square(x);
  backward(y, {}, {.retain_graph = true, .only = {}});
  CHECK(x.grad().item() == 6);
  backward(y);
  CHECK(x.grad().item() == 12);
  test::check_error(ErrorKind::run, {"square", "retain_graph"}, [&] { backward(y); });
  CHECK(x.grad().item() == 12);
}

TEST_CASE("a backward without history, or from a gradient that does not fit, is an error") {
  test::check_error(ErrorKind::run, {"no history"}, [&] { backward(Tensor::full({1}, 1)); });
  test::check_error(ErrorKind::run, {"no history"}, [&] { backward(Tensor()); });
  const Tensor y = ops::square(leaf(Doubles{3, 4}));
  test::check_error(ErrorKind::run, {"(3)", "(2)"}, [&] { backward(y, Tensor::full({3}, 1, DType::f64)); });
  test::check_error(ErrorKind::run, {"backward"}, [&] { backward(y, Tensor::full({2}, 1, DType::f32)); });
  test::check_error(ErrorKind::run, {"leaves", "square"}, [&] { Tensor(y).set_requires_grad(false); });
}

TEST_CASE("`only` computes the gradients that are asked for and no others") {
  const Tensor a = leaf(Doubles{2}), b = leaf(Doubles{3}), c = leaf(Doubles{5});
  const Tensor ab = ops::mul(a, b);
  int reached = 0;
  ab.register_hook([&](const Tensor&) {
    ++reached;
    return Tensor();
  });
  const Tensor y = ops::mul(ab, ops::square(c));
  backward(y, {}, {.retain_graph = true, .only = {c}});
  CHECK(c.grad().item() == 2 * 3 * 2 * 5);
  CHECK(!a.grad().defined());
  CHECK(!b.grad().defined());
  CHECK(reached == 0);  // nothing asked for lies below

  backward(y, {}, {.retain_graph = false, .only = {a}});
  CHECK(a.grad().item() == 3 * 25);
  CHECK(!b.grad().defined());
  CHECK(c.grad().item() == 60);
  CHECK(reached == 1);

  const Tensor again = ops::square(a);
  test::check_error(ErrorKind::run, {"only"}, [&] { backward(again, {}, {.retain_graph = false, .only = {again}}); });
  test::check_error(ErrorKind::run, {"only"},
                    [&] { backward(again, {}, {.retain_graph = false, .only = {Tensor()}}); });
}

TEST_CASE("gradients add up over several uses and several backward passes") {
  const Tensor w = leaf(Doubles{2, -1});
  const Doubles x{3, 4};
  const auto loss = [&] {
    const Tensor in = Tensor::from(x, {2});
    return ops::sum(ops::add(ops::mul(w, in), ops::mul(ops::square(w), in)));  // w x + w^2 x
  };
  backward(loss());
  const Doubles once{3 + 2 * 2 * 3, 4 - 2 * 4};
  CHECK(of(w.grad()) == once);
  backward(loss());
  CHECK(of(w.grad()) == Doubles{2 * once[0], 2 * once[1]});
  Tensor(w).clear_grad();
  CHECK(!w.grad().defined());
  backward(loss());
  CHECK(of(w.grad()) == once);
}

TEST_CASE("a gradient that two inputs share is not corrupted by what one of them adds later") {
  // add hands the same dy to both; then square adds to a's in place.
  const Tensor a = leaf(Doubles{2}), b = leaf(Doubles{3}), seed = Tensor::full({1}, 1, DType::f64);
  backward(ops::add(ops::square(a), ops::add(a, b)), seed);
  CHECK(a.grad().item() == 5);
  CHECK(b.grad().item() == 1);
  CHECK(seed.item() == 1);
  CHECK_FALSE(a.grad().shares_storage(b.grad()));
  CHECK_FALSE(a.grad().shares_storage(seed));

  // What changes one leaf's gradient in place (clipping) changes no other's.
  const Tensor c = leaf(Doubles{4}), d = leaf(Doubles{5});
  backward(ops::add(c, ops::reshape(d, {1})), seed);
  c.grad().mutable_data<double>()[0] = 100;
  CHECK(d.grad().item() == 1);
  d.grad().mutable_data<double>()[0] = 100;
  CHECK(seed.item() == 1);

  // Leaves whose gradient came by add, and to which a convolution's kernel adds in place (Backward::target).
  const Tensor w = leaf(uniform({1, 1, 1, 1}, 1)), v = leaf(uniform({1, 1, 1, 1}, 2)), x = uniform({1, 1, 1, 1}, 3);
  const Tensor one = Tensor::full({1, 1, 1, 1}, 1, DType::f64);
  backward(ops::add(w, v), one);
  backward(ops::conv2d(x, w, {}), one);
  CHECK(w.grad().item() == doctest::Approx(1 + x.item()));
  CHECK(v.grad().item() == 1);
  CHECK(one.item() == 1);

  // Results inside the graph: dy reaches two of them, and each is used a second time.
  const Tensor p = leaf(Doubles{0.5}), q = leaf(Doubles{0.25});
  const Tensor sp = ops::sigmoid(p), sq = ops::sigmoid(q);
  backward(ops::add(ops::add(sp, sq), ops::add(ops::square(sp), sq)));
  CHECK(p.grad().item() == doctest::Approx((1 + 2 * sp.item()) * sp.item() * (1 - sp.item())));
  CHECK(q.grad().item() == doctest::Approx(2 * sq.item() * (1 - sq.item())));
}

TEST_CASE("a gradient that the caller keeps does not change") {
  const Tensor w = leaf(uniform({2, 1, 3, 3}, 1)), x = uniform({1, 4, 5, 1}, 2);
  const auto step = [&] { backward(ops::sum(ops::conv2d(x, w, {}))); };
  step();
  const Tensor kept = w.grad();
  const Doubles before = of(kept);
  step();
  CHECK(of(kept) == before);
  CHECK(of(w.grad())[0] == doctest::Approx(2 * before[0]));
}

TEST_CASE("batch norm with ReLU leaves a shared gradient alone") {
  // Its backward overwrites dy where it may; here dy belongs to another branch too.
  const Tensor x = leaf(test::away_from_zero({3, 2, 2, 2}, 1, 0.8, 1.2)), other = leaf(uniform({3, 2, 2, 2}, 2));
  const Tensor gamma = Tensor::full({2}, 1, DType::f64), beta = Tensor::zeros({2}, DType::f64);
  for (const bool training : {true, false}) {
    Tensor(other).clear_grad();
    const Tensor y = ops::batch_norm(x, gamma, beta, Tensor::zeros({2}, DType::f64), Tensor::full({2}, 1, DType::f64),
                                     {.training = training, .relu = true});
    const Tensor seed = uniform({3, 2, 2, 2}, 3);
    const Doubles before = of(seed);
    backward(ops::add(y, other), seed);
    CHECK(of(other.grad()) == before);
    CHECK(of(seed) == before);
  }
}

TEST_CASE("hooks see the gradient of an activation and may replace it") {
  const Tensor x = leaf(Doubles{2, 3});
  const Tensor activation = ops::square(x);
  Doubles seen;
  activation.register_hook([&](const Tensor& g) {
    seen = of(g);
    return Tensor();
  });
  const Tensor y = ops::add(ops::affine(activation, 5, 0), ops::affine(activation, 2, 0));
  backward(y, {}, {.retain_graph = true, .only = {}});
  CHECK(seen == Doubles{7, 7});  // the whole gradient, from both uses
  CHECK(of(x.grad()) == Doubles{28, 42});

  Tensor(x).clear_grad();
  activation.register_hook([](const Tensor& g) { return ops::affine(g, 10, 0); });
  activation.register_hook([](const Tensor& g) { return ops::affine(g, 1, 1); });  // in the order of registration
  backward(y, {}, {.retain_graph = true, .only = {}});
  CHECK(of(x.grad()) == Doubles{71 * 4, 71 * 6});

  activation.register_hook([](const Tensor&) { return Tensor::zeros({3}, DType::f64); });
  test::check_error(ErrorKind::run, {"hook", "square", "(3)", "(2)"}, [&] { backward(y); });
  test::check_error(ErrorKind::run, {"hook"}, [&] { x.register_hook([](const Tensor& g) { return g; }); });
}

TEST_CASE("a gradient that a hook keeps is not overwritten") {
  const Tensor x = leaf(test::away_from_zero({2, 3, 3, 2}, 1, 0.8, 1.2));
  const Tensor ones = Tensor::full({2}, 1, DType::f64), zeros = Tensor::zeros({2}, DType::f64);
  const Tensor y = ops::batch_norm(x, ones, zeros, zeros.clone(), ones.clone(), {.relu = true});
  Tensor kept;
  y.register_hook([&](const Tensor& g) {
    kept = g;
    return Tensor();
  });
  const Tensor w = uniform(y.shape(), 2);
  backward(ops::sum(ops::mul(y, w)));
  CHECK(of(kept) == of(w));
}

TEST_CASE("NoGrad stops recording, by scope, in its own thread") {
  const Tensor x = leaf(Doubles{2});
  {
    const NoGrad outer;
    { const NoGrad inner; }
    CHECK_FALSE(grad_enabled());
    CHECK_FALSE(ops::square(x).requires_grad());
    bool elsewhere = false;
    std::thread([&] { elsewhere = ops::square(x).requires_grad(); }).join();
    CHECK(elsewhere);
  }
  CHECK(grad_enabled());
  CHECK(ops::square(x).requires_grad());
  try {
    const NoGrad scope;
    fail(ErrorKind::run, "leaves the scope");
  } catch (const Error&) {
  }
  CHECK(grad_enabled());

  // Detached values are constants.
  const Tensor y = ops::square(x);
  backward(ops::mul(y, y.detach()));
  CHECK(x.grad().item() == 4 * 2 * 2);
}

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
    CHECK(memory_stats(cpu).live == owned + 256);  // the loss: the smallest block
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
  CHECK(memory_stats(cpu).system_allocations > later.system_allocations);
}

TEST_CASE("memory: a refused allocation is an error and is not counted") {
  const Device cpu;
  const MemoryStats before = memory_stats(cpu);
  CHECK_THROWS_AS(Tensor::empty({std::int64_t{1} << 46}, DType::f64), Error);
  CHECK_THROWS_AS(Tensor::empty({std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
  CHECK(memory_stats(cpu).live == before.live);
  CHECK(memory_stats(cpu).peak == before.peak);
}
