// Every differentiable operation: finite differences in double, and what autograd promises about any operation.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tensor/ops.h"
#include "tests/grad_cases.h"
#include "tests/paths.h"
#include "tests/scratch.h"

using namespace pen;
using namespace pen::test;

namespace {

// They have no gradient, as tensor/ops.h says.
const std::set<std::string> not_differentiable{"step",           "logistic_noise", "argmax",    "mask_statistics",
                                               "argmax_ids",     "largest_excess", "equal_ids", "mask_scale",
                                               "nearest_repeats"};

std::string title(const GradCase& c) { return c.op + " " + c.what; }

struct Run {
  Tensor y, w;
  std::vector<Tensor> x;
};

// Forward, and backward from a random cotangent if `backwards`.
Run run(const GradCase& c, DType dtype, const std::vector<bool>& wanted = {}, bool backwards = true) {
  Run r;
  r.x = leaves(c.inputs, dtype, wanted);
  r.y = c.f(r.x);
  r.w = cotangent(r.y, 5);
  if (backwards) backward(r.y, r.w);
  return r;
}

std::vector<double> numbers(const Tensor& t) { return t.to(DType::f64).to_vector<double>(); }

void check_close(const std::string& what, const Tensor& got, const Tensor& want, double tolerance) {
  REQUIRE_MESSAGE((got.defined() && want.defined()), what);
  const Difference d = compare_max(numbers(got), numbers(want), tolerance);
  CHECK_MESSAGE(d.ok, what << ": " << d.message);
}

}  // namespace

TEST_CASE("finite differences accept right gradients and refuse wrong ones") {
  const std::vector<Tensor> x{uniform({3, 5}, 1, -2, 2)};
  const auto right = [](const std::vector<Tensor>& i) { return ops::softmax(i[0]); };
  CHECK(gradcheck(right, x).ok);

  // Softmax whose backward forgets the normalisation: y dy. Then the loss sum(y) has its own trap, shown below.
  const auto wrong = [](const std::vector<Tensor>& i) {
    Tensor y;
    {
      const NoGrad no_grad;
      y = ops::softmax(i[0]);
    }
    if (needs_grad(i))
      record("wrong_softmax", y, {i[0]},
             [saved = Saved(y)](Backward& call) { call.set(0, ops::mul(saved.get("wrong_softmax"), call.dy())); });
    return y;
  };
  const Difference d = gradcheck(wrong, x);
  CHECK_FALSE(d.ok);
  CHECK(d.error > 1e-3);
  CHECK(d.message.find("worst at") != std::string::npos);
  CHECK(d.message.find("input 0") != std::string::npos);

  // The gradient of sum(softmax) is 0 whatever the logits: a backward that returns zeros would pass, were an all-zero
  // reference not refused.
  const auto constant = [](const std::vector<Tensor>& i) { return ops::sum(ops::softmax(i[0])); };
  CHECK_FALSE(gradcheck(constant, x).ok);

  // Errors of one part in a million are seen, and so are those of a second input, a missing gradient and NaN.
  const auto scaled = [](double factor, const std::vector<Tensor>& i) {
    Tensor y = ops::square(i[0]).detach();
    if (needs_grad(i))
      record("scaled", y, {i[0]}, [=, saved = Saved(i[0])](Backward& call) {
        call.set(0, ops::affine(ops::mul(saved.get("scaled"), call.dy()), factor, 0));
      });
    return y;
  };
  CHECK(gradcheck([&](const std::vector<Tensor>& i) { return scaled(2, i); }, x).ok);
  CHECK_FALSE(gradcheck([&](const std::vector<Tensor>& i) { return scaled(2 * (1 + 1e-6), i); }, x).ok);
  CHECK_FALSE(gradcheck([&](const std::vector<Tensor>& i) { return scaled(std::nan(""), i); }, x).ok);
  const std::vector<Tensor> two{x[0], uniform({3, 5}, 2)};
  const auto second = [&](const std::vector<Tensor>& i) { return ops::add(i[0], scaled(1.9, {i[1]})); };
  const Difference in_second = gradcheck(second, two);
  CHECK_FALSE(in_second.ok);
  CHECK(in_second.message.find("input 1") != std::string::npos);
  const auto cut = [](const std::vector<Tensor>& i) { return ops::add(i[0], i[1].detach()); };
  CHECK(gradcheck(cut, two).message.find("no gradient") != std::string::npos);
}

TEST_CASE("finite differences: large inputs are sampled, and the samples reach wrong elements") {
  const std::vector<Tensor> x{uniform({1, 40, 50, 1}, 3)};
  const auto f = [](const std::vector<Tensor>& i) { return ops::square(i[0]); };
  CHECK(gradcheck(f, x).ok);
  CHECK(gradcheck(f, x).message.find("80 elements checked") != std::string::npos);
  // One quarter of the gradients wrong: 80 samples miss them with probability 0.75^80, and these seeds do not.
  const auto g = [](const std::vector<Tensor>& i) {
    return ops::concat_batch({ops::square(ops::slice_batch(ops::reshape(i[0], {4, 500}), 0, 3)),
                              ops::square(ops::slice_batch(ops::reshape(i[0].detach(), {4, 500}), 3, 1))});
  };
  CHECK_FALSE(gradcheck(g, x).ok);
}

TEST_CASE("declared_functions reads headers") {
  const std::string text =
      "// Tensor comment(const Tensor& x);\nTensor relu(const Tensor& x);\nstruct A {\n  Tensor inner(int k);\n};\n"
      "std::vector<std::int64_t> argmax(const Tensor& logits);  // Tensor b(c)\nTensor long_one(const Tensor& x,\n"
      "                Tensor y);\nusing X = Tensor(int);\nTensor relu(int);\n";
  CHECK(declared_functions(text) == std::vector<std::string>{"relu", "argmax", "long_one"});
}

TEST_CASE("every operation of tensor/ops.h has a case or is known to have no gradient") {
  const std::vector<std::string> declared = declared_functions(slurp(pen::test::tests_folder() + "/../tensor/ops.h"));
  CHECK(declared.size() >= 44);  // the reader of the header found its lines
  std::set<std::string> covered;
  for (const GradCase& c : grad_cases()) covered.insert(c.op);
  for (const std::string& name : declared)
    CHECK_MESSAGE(covered.count(name) + not_differentiable.count(name) == 1,
                  "ops::" << name << " needs a case in tests/grad_cases.cpp (or its exception, not both)");
  for (const std::string& name : covered)
    CHECK_MESSAGE(std::count(declared.begin(), declared.end(), name) == 1, "no operation is called " << name);
  for (const std::string& name : not_differentiable)
    CHECK_MESSAGE(std::count(declared.begin(), declared.end(), name) == 1, "no operation is called " << name);
}

TEST_CASE("operations: finite differences in double, on both backends") {
  for (const GradCase& c : grad_cases())
    for (const auto backend : {kernels::Backend::native, kernels::Backend::reference}) {
      const BackendScope scope(backend);
      GradcheckOptions options;
      options.surrogate = c.surrogate;
      if (backend == kernels::Backend::reference) options.samples = 10;
      const Difference d = gradcheck(c.f, c.inputs, options);
      CHECK_MESSAGE(d.ok, title(c) << ": " << d.message);
    }
}

TEST_CASE("operations: the case calls the operation it is named after") {
  for (const GradCase& c : grad_cases()) {
    const Run r = run(c, DType::f64, {}, false);
    REQUIRE_MESSAGE(r.y.impl()->node, title(c));
    CHECK_MESSAGE(std::string(r.y.impl()->node->name) == c.op, title(c));
  }
}

TEST_CASE("operations: float32 gives the results and gradients of double") {
  for (const GradCase& c : grad_cases()) {
    const Run narrow = run(c, DType::f32), wide = run(c, DType::f64);
    check_close(title(c) + " y", narrow.y, wide.y, 2e-5);
    for (std::size_t i = 0; i < c.inputs.size(); ++i)
      if (is_real(c.inputs[i]))
        check_close(title(c) + " gradient " + std::to_string(i), narrow.x[i].grad(), wide.x[i].grad(), 2e-5);
  }
}

// What an operation saves, and which kernels its backward calls, depends on which inputs need a gradient.
TEST_CASE("operations: each input's gradient is the same when no other is wanted") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const GradCase& c : grad_cases()) {
      if (std::count_if(c.inputs.begin(), c.inputs.end(), is_real) < 2) continue;
      const Run all = run(c, dtype);
      const double tolerance = dtype == DType::f32 ? 1e-6 : 1e-14;
      for (std::size_t i = 0; i < c.inputs.size(); ++i) {
        if (!is_real(c.inputs[i])) continue;
        const std::string what = title(c) + " only input " + std::to_string(i);
        std::vector<bool> wanted(c.inputs.size(), false);
        wanted[i] = true;
        const Run one = run(c, dtype, wanted);
        check_close(what + " requires it", one.x[i].grad(), all.x[i].grad(), tolerance);

        const Run asked = run(c, dtype, {}, false);
        backward(asked.y, asked.w, {.retain_graph = false, .only = {asked.x[i]}});
        check_close(what + " is asked for", asked.x[i].grad(), all.x[i].grad(), tolerance);
        for (std::size_t j = 0; j < c.inputs.size(); ++j) {
          if (j == i || !is_real(c.inputs[j])) continue;
          CHECK_MESSAGE(!one.x[j].grad().defined(), what);
          CHECK_MESSAGE(!asked.x[j].grad().defined(), what);
        }
      }
    }
}

TEST_CASE("operations: gradients add up over two backward passes, also into some that exist") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const GradCase& c : grad_cases()) {
      const double tolerance = dtype == DType::f32 ? 1e-6 : 1e-14;
      const Run once = run(c, dtype);
      const Run twice = run(c, dtype, {}, false);
      backward(twice.y, twice.w, {.retain_graph = true, .only = {}});
      // The last input starts the second pass without a gradient.
      Tensor last;
      for (const Tensor& x : twice.x)
        if (is_real(x)) last = x;
      last.clear_grad();
      backward(twice.y, twice.w);
      for (std::size_t i = 0; i < c.inputs.size(); ++i) {
        if (!is_real(c.inputs[i])) continue;
        const double factor = twice.x[i].impl() == last.impl() ? 1 : 2;
        check_close(title(c), twice.x[i].grad(), ops::affine(once.x[i].grad(), factor, 0), tolerance);
      }
    }
}

TEST_CASE("operations: inputs, results and cotangents keep their elements") {
  for (const GradCase& c : grad_cases()) {
    const Run r = run(c, DType::f32, {}, false);
    std::vector<std::uint64_t> versions;
    for (const Tensor& x : r.x) versions.push_back(x.version());
    const std::uint64_t y_version = r.y.version(), w_version = r.w.version();
    c.f(r.x);
    backward(r.y, r.w);
    for (std::size_t i = 0; i < r.x.size(); ++i) CHECK_MESSAGE(r.x[i].version() == versions[i], title(c));
    CHECK_MESSAGE(r.w.version() == w_version, title(c));
    CHECK_MESSAGE(r.y.version() == y_version, title(c));
  }
}

TEST_CASE("operations: nothing is recorded when nothing requires a gradient, or under NoGrad") {
  for (const GradCase& c : grad_cases()) {
    const Run none = run(c, DType::f32, std::vector<bool>(c.inputs.size(), false), false);
    CHECK_MESSAGE(!none.y.requires_grad(), title(c));
    const NoGrad no_grad;
    CHECK_MESSAGE(!run(c, DType::f32, {}, false).y.requires_grad(), title(c));
  }
}

TEST_CASE("convolutions: packed copies of frozen weights follow their contents") {
  const Tensor x = uniform({1, 9, 8, 16}, 1).to(DType::f32);
  const auto expect_like_trained = [&](const Tensor& frozen) {
    const Tensor trained = frozen.clone().set_requires_grad(true);  // packed anew in each call
    const ops::ConvOptions o{.stride = 2, .pad = 1};
    CHECK(ops::conv2d(x, frozen, {}, o).to_vector<float>() == ops::conv2d(x, trained, {}, o).to_vector<float>());
    const Tensor leaf = x.clone().set_requires_grad(true), other = x.clone().set_requires_grad(true);
    backward(ops::sum(ops::conv2d(leaf, frozen, {}, o)));
    backward(ops::sum(ops::conv2d(other, trained, {}, o)));
    CHECK(leaf.grad().to_vector<float>() == other.grad().to_vector<float>());
  };
  Tensor w = uniform({32, 16, 3, 3}, 2).to(DType::f32).clone();
  expect_like_trained(w);
  w.copy_from(uniform({32, 16, 3, 3}, 3).to(DType::f32));
  expect_like_trained(w);
  w.mutable_data<float>()[5] += 1;
  expect_like_trained(w);
  // New weights that the allocator puts where older ones were.
  for (std::uint64_t seed = 4; seed < 8; ++seed) expect_like_trained(uniform({32, 16, 3, 3}, seed).to(DType::f32));
}

TEST_CASE("operations: joins and sums of nothing") {
  const Tensor none = Tensor::empty({2, 3, 4, 0}), some = uniform({2, 3, 4, 2}, 1).to(DType::f32);
  CHECK(ops::concat_channels({none, some}).to_vector<float>() == some.to_vector<float>());
  CHECK(ops::concat_channels({some, none}).to_vector<float>() == some.to_vector<float>());
  CHECK(ops::concat_batch({Tensor::empty({0, 3}), Tensor::full({1, 3}, 2)}).to_vector<float>() ==
        std::vector<float>{2, 2, 2});
  CHECK(ops::sum(Tensor::empty({0, 5})).item() == 0);
  const Tensor leaf = Tensor::empty({0, 5, 4, 3}).set_requires_grad(true);
  const Tensor y = ops::relu(ops::conv2d(leaf, uniform({2, 3, 3, 3}, 1).to(DType::f32), {}, {.pad = 1}));
  CHECK(y.shape() == Shape{0, 5, 4, 2});
  backward(ops::sum(y));
  CHECK(leaf.grad().shape() == leaf.shape());
}

TEST_CASE("operations: inputs that do not fit are errors that name the operation") {
  const auto t = [](Shape shape) { return Tensor::zeros(std::move(shape)); };
  const auto i64 = [](std::vector<std::int64_t> v) {
    const auto n = static_cast<std::int64_t>(v.size());
    return Tensor::from(v, {n});
  };
  const Tensor x = t({2, 5, 4, 3});
  const std::pair<std::vector<std::string>, std::function<void()>> cases[] = {
      {{"conv2d", "7x7", "5x4", "pad 0"},
       [&] {
         ops::conv2d(x, t({2, 3, 7, 7}), {});
       }},
      {{"conv2d", "(2, 4, 3, 3)"},
       [&] {
         ops::conv2d(x, t({2, 4, 3, 3}), {});
       }},
      {{"conv2d", "groups"},
       [&] {
         ops::conv2d(x, t({2, 3, 3, 3}), {}, {.groups = 2});
       }},
      {{"conv2d", "bias", "(3)"},
       [&] {
         ops::conv2d(x, t({2, 3, 3, 3}), t({3}));
       }},
      {{"conv2d", "stride 0"},
       [&] {
         ops::conv2d(x, t({2, 3, 3, 3}), {}, {.stride = 0});
       }},
      {{"conv2d", "dtype"},
       [&] {
         ops::conv2d(x, Tensor::zeros({2, 3, 3, 3}, DType::f64), {});
       }},
      {{"conv_transpose2d", "bias", "(3)"},
       [&] {
         ops::conv_transpose2d(x, t({3, 2, 3, 3}), t({3}));
       }},
      {{"conv_transpose2d", "pad -1"},
       [&] {
         ops::conv_transpose2d(x, t({3, 2, 3, 3}), {}, {.pad = -1});
       }},
      {{"conv_transpose2d", "output_pad 2"},
       [&] {
         ops::conv_transpose2d(x, t({3, 2, 3, 3}), {}, {.stride = 2}, 2);
       }},
      {{"linear", "(2, 3)", "(4, 5)"},
       [&] {
         ops::linear(t({2, 3}), t({4, 5}), {});
       }},
      {{"batch_norm", "(2)"}, [&] { ops::batch_norm(x, t({3}), t({2}), t({3}), t({3}), {}); }},
      {{"batch_norm", "residual"},
       [&] {
         ops::batch_norm(x, t({3}), t({3}), t({3}), t({3}), {}, t({2, 5, 4, 1}));
       }},
      {{"max_pool2d", "window 7"},
       [&] {
         ops::max_pool2d(x, {7, 1, 0});
       }},
      {{"avg_pool2d", "pad 2"},
       [&] {
         ops::avg_pool2d(x, {3, 1, 2});
       }},
      {{"resize_bilinear", "0x3"}, [&] { ops::resize_bilinear(x, 0, 3); }},
      {{"concat_channels", "(2, 5, 3, 3)"},
       [&] {
         ops::concat_channels({x, t({2, 5, 3, 3})});
       }},
      {{"concat_batch", "(2, 5, 3, 3)"},
       [&] {
         ops::concat_batch({x, t({2, 5, 3, 3})});
       }},
      {{"embedding", "id 4", "4 rows"},
       [&] {
         ops::embedding(t({4, 2}), i64({0, 4}));
       }},
      {{"add", "(2, 5, 4, 3)", "(3)"}, [&] { ops::add(x, t({3})); }},
      {{"mul", "f64"}, [&] { ops::mul(x, Tensor::zeros(x.shape(), DType::f64)); }},
      {{"scale_by", "(2)"}, [&] { ops::scale_by(x, t({2})); }},
      {{"(120)", "(7)"}, [&] { ops::reshape(ops::reshape(x, {120}), {7}); }},
      {{"slice_batch", "1..3", "2"}, [&] { ops::slice_batch(x, 1, 2); }},
      {{"mean"}, [&] { ops::mean(t({0})); }},
      {{"cross_entropy", "label 3"},
       [&] {
         ops::cross_entropy(t({1, 3}), i64({3}));
       }},
      {{"cross_entropy", "label -1"},
       [&] {
         ops::cross_entropy(t({1, 3}), i64({-1}));
       }},
      {{"cross_entropy", "(2)"},
       [&] {
         ops::cross_entropy(t({1, 3}), i64({0, 0}));
       }},
      {{"cross_entropy", "smoothing"},
       [&] {
         ops::cross_entropy(t({1, 3}), i64({0}), 1.0);
       }},
      {{"prior_divergence", "(4)"},
       [&] {
         ops::prior_divergence(t({1, 3}), t({4}), false);
       }},
      {{"mask_in", "(2, 5, 4, 3)"}, [&] { ops::mask_in(x, x); }},
      {{"mask_in", "(2, 5, 2, 1)"},
       [&] {
         ops::mask_in(x, t({2, 5, 2, 1}));
       }},
      {{"mask_in", "(2, 2, 2, 1)"},
       [&] {
         ops::mask_in(x, t({2, 2, 2, 1}));
       }},
      {{"mask_out", "(1, 5, 4, 1)"},
       [&] {
         ops::mask_out(x, t({1, 5, 4, 1}));
       }},
      {{"mask_out", "(2, 5, 4, 1) f64"},
       [&] {
         ops::mask_out(x, Tensor::zeros({2, 5, 4, 1}, DType::f64));
       }},
      {{"mask_scale", "(2, 10, 8, 1)"},
       [&] {
         ops::mask_scale(x, t({2, 10, 8, 1}));
       }},
      {{"mask_out", "(2, 5, 4, 1)"},
       [&] {
         ops::mask_out(x, t({2, 5, 4, 1}), t({2, 5, 4, 1}));
       }},
      {{"total_variation", "one channel"}, [&] { ops::total_variation(x, 1); }},
      {{"mask_statistics", "one channel"}, [&] { ops::mask_statistics(x); }},
      {{"broadcast_planes", "-1x2"},
       [&] {
         ops::broadcast_planes(t({2, 3}), -1, 2);
       }},
      {{"undefined"}, [&] { ops::relu(Tensor()); }},
  };
  for (const auto& [parts, run_it] : cases) {
    std::string message = "no error";
    try {
      run_it();
    } catch (const Error& error) {
      message = error.what();
    }
    for (const std::string& part : parts)
      CHECK_MESSAGE(message.find(part) != std::string::npos, "'" << part << "' is not in: " << message);
  }
}
