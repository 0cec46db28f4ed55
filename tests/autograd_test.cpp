// What the autograd engine promises about graphs: any length, saved tensors per call, accumulation, hooks.
#include "tensor/autograd.h"

#include <doctest/doctest.h>
#include <pthread.h>

#include <thread>

#include "tensor/ops.h"
#include "tests/leaves.h"
#include "tests/scratch.h"

using namespace pen;
using test::Doubles, test::leaf, test::of, test::uniform;

namespace {

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
