// Where libraries share a name and not a meaning: what ours mean, pinned on both backends of the CPU.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/kernels.h"

using namespace pen;
using namespace pen::kernels;

namespace {

const Context both[] = {{}, {.device = {}, .backend = Backend::reference}};
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
using Floats = std::vector<float>;
using Doubles = std::vector<double>;

}  // namespace

TEST_CASE("batch norm: the variance is the population's, divided by rows") {
  const Floats x{1, 10, 2, 20, 3, 30, 6, 60}, gamma{2, 1}, beta{0.5f, 0};  // 4 rows, 2 channels
  for (const Context& ctx : both) {
    Floats y(8), mean(2), var(2);
    batch_norm_fwd(ctx, {4, 2}, 0.0, x.data(), static_cast<const float*>(nullptr), gamma.data(), beta.data(), false,
                   y.data(), mean.data(), var.data());
    CHECK(mean[0] == doctest::Approx(3));
    CHECK(mean[1] == doctest::Approx(30));
    CHECK(var[0] == doctest::Approx(3.5));  // (4 + 1 + 0 + 9) / 4; the sample's would be 14/3
    CHECK(var[1] == doctest::Approx(350));
    CHECK(y[0] == doctest::Approx(2 * (1 - 3) / std::sqrt(3.5) + 0.5));
  }
}

TEST_CASE("batch norm: the running variance follows the sample variance, n/(n-1)") {
  const Floats mean{3}, var{3.5f};
  for (const Context& ctx : both) {
    Floats running_mean{1}, running_var{1};
    norm_running(ctx, {4, 1}, 0.1, mean.data(), var.data(), running_mean.data(), running_var.data());
    CHECK(running_mean[0] == doctest::Approx(0.9 + 0.1 * 3));
    CHECK(running_var[0] == doctest::Approx(0.9 + 0.1 * 14 / 3));
    // One row has no sample variance: nothing becomes infinite.
    norm_running(ctx, {1, 1}, 0.1, mean.data(), var.data(), running_mean.data(), running_var.data());
    CHECK(std::isfinite(running_var[0]));
  }
}

TEST_CASE("max pool: a tie goes to the first in row-major order, and padding never wins") {
  const Pool2d d{.n = 1, .h = 2, .w = 4, .c = 1, .p = 1, .q = 2, .k = 2, .stride = 2, .pad = 0};
  const Floats x{5, 5, 1, 7,   //
                 5, 5, 7, 7};  // the second window: 1 7 / 7 7
  for (const Context& ctx : both) {
    Floats y(2), dx(8, not_a_number);
    std::vector<std::uint8_t> index(2);
    max_pool_fwd(ctx, d, x.data(), y.data(), index.data());
    CHECK(y == Floats{5, 7});
    CHECK(index == std::vector<std::uint8_t>{0, 1});
    const Floats dy{10, 20};
    max_pool_bwd(ctx, d, dy.data(), index.data(), dx.data());
    CHECK(dx == Floats{10, 0, 0, 20, 0, 0, 0, 0});
  }
  const Pool2d padded{.n = 1, .h = 1, .w = 2, .c = 1, .p = 1, .q = 1, .k = 3, .stride = 2, .pad = 1};
  const Floats negative{-3, -2};
  for (const Context& ctx : both) {
    float y = 0;
    std::uint8_t index = 0;
    max_pool_fwd(ctx, padded, negative.data(), &y, &index);
    CHECK(y == -2);
    CHECK(int{index} == 5);  // row 1, column 2 of the window
  }
}

TEST_CASE("max pool: NaN and infinity come through, whatever stands beside them") {
  const Pool2d d{.n = 1, .h = 2, .w = 6, .c = 1, .p = 1, .q = 3, .k = 2, .stride = 2, .pad = 0};
  const float infinity = std::numeric_limits<float>::infinity();
  const Floats x{1,
                 2,
                 infinity,
                 3,
                 -infinity,
                 -infinity,  //
                 not_a_number,
                 9,
                 1,
                 2,
                 -infinity,
                 -infinity};
  for (const Context& ctx : both) {
    Floats y(3);
    std::vector<std::uint8_t> index(3);
    for (std::uint8_t* wanted : {static_cast<std::uint8_t*>(nullptr), index.data()}) {
      max_pool_fwd(ctx, d, x.data(), y.data(), wanted);
      CHECK(std::isnan(y[0]));
      CHECK(y[1] == infinity);
      CHECK(y[2] == -infinity);
    }
    CHECK(index == std::vector<std::uint8_t>{2, 0, 0});
  }
}

TEST_CASE("average pool: padding is not counted") {
  const Pool2d d{.n = 1, .h = 1, .w = 2, .c = 1, .p = 1, .q = 1, .k = 3, .stride = 2, .pad = 1};
  const Floats x{3, 5};
  for (const Context& ctx : both) {
    float y = 0;
    avg_pool_fwd(ctx, d, x.data(), &y);
    CHECK(y == 4);
    Floats dx(2, not_a_number);
    const float dy = 6;
    avg_pool_bwd(ctx, d, &dy, dx.data());
    CHECK(dx == Floats{3, 3});
  }
}

TEST_CASE("convolution: dilation counts from 1, and the kernel is not flipped") {
  const Floats x{1, 2, 3, 4, 5}, w{1, 10};
  for (const Context& ctx : both) {
    Floats dense(4), apart(3);
    Conv2d d{.n = 1, .h = 1, .w = 5, .c = 1, .k = 1, .r = 1, .s = 2, .p = 1, .q = 4};
    conv2d_fwd(ctx, d, x.data(), w.data(), static_cast<const float*>(nullptr), dense.data());
    CHECK(dense == Floats{21, 32, 43, 54});
    d.dilation = 2;
    d.q = 3;
    conv2d_fwd(ctx, d, x.data(), w.data(), static_cast<const float*>(nullptr), apart.data());
    CHECK(apart == Floats{31, 42, 53});
  }
}

TEST_CASE("convolution: channels last in activations, K,C,R,S in weights") {
  // One pixel, two input channels, two outputs, a 1x1 kernel: w[k][c].
  const Floats x{1, 10}, w{1, 2, 3, 4}, b{100, 200};
  for (const Context& ctx : both) {
    Floats y(2);
    conv2d_fwd(ctx, {.n = 1, .h = 1, .w = 1, .c = 2, .k = 2, .r = 1, .s = 1, .p = 1, .q = 1}, x.data(), w.data(),
               b.data(), y.data());
    CHECK(y == Floats{121, 243});
  }
}

TEST_CASE("convolution: a packed copy of weights is kept for its key only") {
  Conv2d d{.n = 1, .h = 3, .w = 4, .c = 8, .k = 8, .r = 3, .s = 3, .p = 3, .q = 4, .pad = 1};
  const Floats x(3 * 4 * 8, 1.0f), ones(8 * 8 * 9, 1.0f), twos(8 * 8 * 9, 2.0f);
  Floats weights = ones;
  const auto middle = [&](std::uint64_t key) {
    Floats y(3 * 4 * 8, not_a_number);
    d.weight_key = key;
    conv2d_fwd(Context{}, d, x.data(), weights.data(), static_cast<const float*>(nullptr), y.data());
    return y[(1 * 4 + 1) * 8];
  };
  CHECK(middle(0) == 72);
  CHECK(middle(91) == 72);
  weights = twos;  // the same memory, other contents
  CHECK(middle(0) == 144);
  CHECK(middle(92) == 144);
  // A new key of the same owner takes the place of its old copy, and must not find it.
  d.weight_owner = 5;
  CHECK(middle(93) == 144);
  weights = ones;
  CHECK(middle(93) == 144);
  CHECK(middle(94) == 72);
}

TEST_CASE("argmax: a tie goes to the lowest class") {
  const Floats x{1, 3, 3, 2,  //
                 4, 4, 4, 4};
  for (const Context& ctx : both) {
    std::vector<std::int64_t> best(2);
    argmax_rows(ctx, 2, 4, x.data(), best.data());
    CHECK(best == std::vector<std::int64_t>{1, 0});
  }
}

TEST_CASE("relu: a NaN stays visible, alone and fused") {
  const Floats x{not_a_number, -1, 2}, one{1}, zero{0}, zeros{0, 0, 0};
  for (const Context& ctx : both) {
    Floats y(3);
    relu_fwd(ctx, 3, x.data(), y.data());
    CHECK(std::isnan(y[0]));
    CHECK(y[1] == 0);
    CHECK(y[2] == 2);
    add_relu(ctx, 3, x.data(), zeros.data(), y.data());
    CHECK(std::isnan(y[0]));
    for (const float* residual : {static_cast<const float*>(nullptr), zeros.data()}) {
      norm_eval_fwd(ctx, {3, 1}, x.data(), one.data(), zero.data(), residual, true, y.data());
      CHECK(std::isnan(y[0]));
    }
  }
}

TEST_CASE("gate: a closed plain one lets nothing through, a leaky one all of a NaN, in vectors and behind them") {
  const std::int64_t n = 37;  // two whole vectors and a rest
  const Floats dy(37, not_a_number);
  const std::vector<bf16> dy16(37, bf16(not_a_number));
  std::vector<std::uint8_t> open(static_cast<std::size_t>(bit_bytes(n)), 0x0f);
  for (const Context& ctx : both)
    for (const double slope : {0.0, 0.1}) {
      Floats dx(37);
      std::vector<bf16> dx16(37, bf16(1.0f));
      gate(ctx, n, slope, dy.data(), open.data(), dx.data());
      gate(ctx, n, slope, dy16.data(), open.data(), dx16.data());
      for (std::size_t i = 0; i < 37; ++i) {
        CAPTURE(i);
        const bool passes = slope != 0 || i % 8 < 4;
        CHECK(std::isnan(dx[i]) == passes);
        CHECK(std::isnan(static_cast<float>(dx16[i])) == passes);
        if (!passes) CHECK(dx[i] == 0);
      }
    }
}

TEST_CASE("sigmoid and softmax: large inputs neither overflow nor lose the small side") {
  const Floats x{-200, 200, 1000, -1000};
  for (const Context& ctx : both) {
    Floats y(4), p(4);
    sigmoid_fwd(ctx, 4, x.data(), y.data());
    CHECK(y[1] == 1);
    CHECK(y[0] >= 0);
    CHECK(y[0] < 1e-30f);
    CHECK(y[2] == 1);
    softmax_fwd(ctx, 1, 4, x.data(), p.data());
    CHECK(p == Floats{0, 0, 1, 0});
    log_softmax_fwd(ctx, 1, 4, x.data(), p.data());
    CHECK(p[2] == 0);
    CHECK(p[3] == -2000);
  }
}

TEST_CASE("sgd: the first step does not read the velocity") {
  const float g = 2;
  for (const Context& ctx : both) {
    float w = 1, velocity = not_a_number;
    sgd_step(ctx, 1, 0.5, 0.9, 0.0, true, &g, static_cast<const double*>(nullptr), &w, &velocity);
    CHECK(velocity == 2);
    CHECK(w == 0);
  }
}

TEST_CASE(
    "updates: one value that is not finite stops them, whatever comes after; gradients are clipped by their norm") {
  const float inf = std::numeric_limits<float>::infinity();
  for (const Context& ctx : both) {
    const auto go = [&](const std::vector<Floats>& losses) {
      double control[kernels::control_size] = {9, -1, -1};
      Accum accum = Accum::write;
      for (const Floats& x : losses) {
        update_control(ctx, static_cast<std::int64_t>(x.size()), x.data(), 1.5, control, accum);
        accum = Accum::add;
      }
      CHECK(control[kernels::control_scale] == doctest::Approx(0.5));
      return control[kernels::control_go];
    };
    CHECK(go({{1}, {-2, 0}}) == 1);
    CHECK(go({{not_a_number}, {1}}) == 0);
    CHECK(go({{1}, {2, inf}}) == 0);
    CHECK(go({{1}, {-inf}, {3}}) == 0);
    for (const double yes : {0.0, 1.0}) {
      const double control[kernels::control_size] = {0, 0.5, yes};
      const float g = 4;
      float w = 1, velocity = 3, adam_w = 1, m = 0, v = 0;
      sgd_step(ctx, 1, 0.5, 1.0, 0.0, false, &g, control, &w, &velocity);
      CHECK(w == (yes != 0 ? -1.5f : 1.0f));
      CHECK(velocity == (yes != 0 ? 5.0f : 3.0f));  // with half of the gradient
      adam_step(ctx, 1, 1, 0.1, 0.5, 0.5, 0.0, 0.0, &g, control, &adam_w, &m, &v);
      CHECK(m == (yes != 0 ? 1.0f : 0.0f));  // half of the clipped gradient
      CHECK(adam_w == doctest::Approx(yes != 0 ? 0.9 : 1.0));
    }
  }
}

TEST_CASE("updates: a factor of 1 changes no bit") {
  constexpr std::int64_t n = 1000;
  const double control[kernels::control_size] = {0, 1, 1};
  for (const Context& ctx : both) {
    std::vector<Floats> seen;
    for (const double* by : {static_cast<const double*>(nullptr), control}) {
      Floats g(n), w(n), velocity(n), adam_w(n), m(n), v(n);
      for (std::size_t i = 0; i < n; ++i) {
        const auto x = static_cast<float>(i + 1);
        g[i] = std::sin(x), w[i] = adam_w[i] = std::sin(3 * x), velocity[i] = m[i] = std::sin(5 * x), v[i] = 1 / x;
      }
      sgd_step(ctx, n, 0.1, 0.9, 1e-4, false, g.data(), by, w.data(), velocity.data());
      adam_step(ctx, n, 7, 0.1, 0.9, 0.999, 1e-8, 1e-4, g.data(), by, adam_w.data(), m.data(), v.data());
      for (const Floats& out : {w, velocity, adam_w, m, v}) seen.push_back(out);
    }
    for (std::size_t i = 0; i < 5; ++i) CHECK(seen[i] == seen[i + 5]);
  }
}

TEST_CASE("excess over a prior: by difference or by ratio, the lowest of equals; NaN is never the largest") {
  const double prior[3] = {0.6, 0.1, 0.3};
  const float inf = std::numeric_limits<float>::infinity();
  const Floats q{0.7f,         0.16f,        0.14f,        0.6f,         0.1f, 0.3f, not_a_number, 0.0f,  0.9f,
                 not_a_number, not_a_number, not_a_number, not_a_number, -inf, -inf, -inf,         -1.0f, not_a_number};
  for (const Context& ctx : both)
    for (const bool divide : {false, true}) {
      std::int64_t best[6];
      largest_excess(ctx, 6, 3, divide, q.data(), prior, best);
      CHECK(best[0] == (divide ? 1 : 0));
      CHECK(best[2] == 2);
      CHECK(best[3] == 0);
      CHECK(best[4] == 0);
      CHECK(best[5] == 1);
    }
}

TEST_CASE("total variation: borders count, a corner twice") {
  const Floats m{0.5f, 0.5f, 0.5f,  //
                 0.5f, 0.5f, 0.5f};
  for (const Context& ctx : both) {
    float y = 0;
    total_variation_fwd(ctx, 1, 2, 3, 1.0, m.data(), &y);
    CHECK(y == doctest::Approx(0.25 * (2 * 3 + 2 * 2)));  // constant inside: two rows of 3 and two columns of 2
    total_variation_fwd(ctx, 1, 2, 3, 0.0, m.data(), &y);
    CHECK(y == 0);
  }
}

// Each value of m (n,h,w) s x s times.
Doubles repeated(const Doubles& m, std::int64_t h, std::int64_t w, std::int64_t s) {
  Doubles out;
  for (std::int64_t row = 0; row < static_cast<std::int64_t>(m.size()) / w * s; ++row)
    for (std::int64_t col = 0; col < w * s; ++col) out.push_back(m[static_cast<std::size_t>(row / s * w + col / s)]);
  CHECK(out.size() % static_cast<std::size_t>(h) == 0);
  return out;
}

TEST_CASE("a coarse mask means its repetition: images, gradients and statistics") {
  constexpr std::int64_t n = 2, h = 3, w = 5, s = 4, c = 3, cells = n * h * w, pixels = cells * s * s;
  Doubles m(cells), x(pixels * c), dy(pixels * c);
  for (std::size_t i = 0; i < m.size(); ++i) m[i] = 0.05 + 0.9 * std::sin(static_cast<double>(i)) * std::sin(double(i));
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = std::sin(0.3 * static_cast<double>(i)), dy[i] = std::cos(0.7 * static_cast<double>(i));
  const Doubles fine = repeated(m, h, w, s);
  const MaskCells blocks{n * h, w, s}, whole{n * h * s, w * s, 1};
  // What a gradient of the repetition says of m.
  const auto sums = [&](const Doubles& g) {
    Doubles out(cells, 0);
    for (std::size_t i = 0; i < g.size(); ++i) {
      const std::size_t row = i / (w * s), col = i % (w * s);
      out[row / s * w + col / s] += g[i];
    }
    return out;
  };
  const auto near = [](const Doubles& a, const Doubles& b) {
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-12));
  };
  for (const Context& ctx : both) {
    for (const Side side : {Side::in, Side::out}) {
      Doubles y(x.size()), want(x.size()), dx(x.size()), want_dx(x.size()), dm(cells), want_dm(pixels);
      mask_mix_fwd(ctx, blocks, c, side, x.data(), m.data(), dy.data(), y.data());
      mask_mix_fwd(ctx, whole, c, side, x.data(), fine.data(), dy.data(), want.data());
      CHECK(y == want);
      mask_mix_bwd(ctx, blocks, c, side, x.data(), m.data(), nullptr, dy.data(), dx.data(), dm.data(), nullptr);
      mask_mix_bwd(ctx, whole, c, side, x.data(), fine.data(), nullptr, dy.data(), want_dx.data(), want_dm.data(),
                   nullptr);
      CHECK(dx == want_dx);
      near(dm, sums(want_dm));
    }
    Doubles said(3 * n), want(3 * n);
    mask_statistics(ctx, n, h, w, s, m.data(), said.data());
    mask_statistics(ctx, n, h * s, w * s, 1, fine.data(), want.data());
    near(said, want);
    Doubles tv(n), want_tv(n);
    total_variation_fwd(ctx, n, h, w, 0.3, m.data(), tv.data());
    total_variation_fwd(ctx, n, h * s, w * s, 0.3, fine.data(), want_tv.data());
    for (double& v : tv) v *= s;
    near(tv, want_tv);
    const Conv2d d{
        .n = n, .h = h * s, .w = w * s, .c = c, .k = 2, .r = 3, .s = 3, .p = 6, .q = 10, .stride = 2, .pad = 1};
    Doubles weights(2 * c * 9), dm(cells), want_dm(pixels);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = std::cos(static_cast<double>(i));
    const double* const other = dy.data() + n * 6 * 10 * 2;
    conv2d_bwd_mask(ctx, d, s, dy.data(), other, weights.data(), x.data(), dm.data());
    conv2d_bwd_mask(ctx, d, 1, dy.data(), other, weights.data(), x.data(), want_dm.data());
    near(dm, sums(want_dm));
  }
}

TEST_CASE("bf16: to the nearest, ties to even, past the largest to infinity, NaN stays NaN") {
  const float infinity = std::numeric_limits<float>::infinity();
  // Between 1 and 2 its steps are 2^-7.
  CHECK(bf16(1.0f + 0x1p-8f) == 1.0f);                // a tie: down to the even one
  CHECK(bf16(1.0f + 3 * 0x1p-8f) == 1.0f + 0x1p-6f);  // a tie: up to the even one
  CHECK(bf16(1.0f + 0x1.002p-8f) == 1.0f + 0x1p-7f);
  CHECK(bf16(-2.5f) == -2.5f);
  CHECK(bf16(std::numeric_limits<float>::max()) == infinity);
  CHECK(bf16(-infinity) == -infinity);
  CHECK(std::isnan(static_cast<float>(bf16(not_a_number))));
  CHECK(std::isnan(static_cast<float>(bf16(std::numeric_limits<float>::signaling_NaN()))));
  CHECK(std::signbit(static_cast<float>(bf16(-0.0f))));
}

TEST_CASE_TEMPLATE("max pool in 16 bit: the first of equals wins, both zeros are equal, the first NaN wins over all", T,
                   bf16, f16) {
  const std::uint16_t minus_nan = 0xffc0;
  std::vector<T> x{-0.0f, 0.0f, -3.0f, -0.0f};
  for (const Context& ctx : both) {
    T y = 7.0f;
    std::uint8_t index = 9;
    max_pool_fwd(ctx, {1, 2, 2, 1, 1, 1, 2, 2, 0}, x.data(), &y, &index);
    CHECK(y == 0.0f);
    CHECK(index == 0);
    std::vector<T> broken{5.0f, 9.0f, 0.0f, 9.0f};
    broken[2].bits = minus_nan;
    max_pool_fwd(ctx, {1, 2, 2, 1, 1, 1, 2, 2, 0}, broken.data(), &y, &index);
    CHECK(std::isnan(static_cast<float>(y)));
    CHECK(index == 2);
    broken[0] = std::numeric_limits<float>::infinity();
    max_pool_fwd(ctx, {1, 2, 2, 1, 1, 1, 2, 2, 0}, broken.data(), &y, &index);
    CHECK(index == 2);
    broken[0] = 5.0f;
    broken[2] = -1.0f;
    max_pool_fwd(ctx, {1, 2, 2, 1, 1, 1, 2, 2, 0}, broken.data(), &y, &index);
    CHECK(y == 9.0f);
    CHECK(index == 1);
  }
}

TEST_CASE("fp16: a sum that is rounded to zero leaves its ReLU closed") {
  const Conv2d d{.n = 1, .h = 1, .w = 2, .c = 1, .k = 1, .r = 1, .s = 1, .p = 1, .q = 2};
  const std::vector<f16> x{0x1p-14f, 1.0f};
  const f16 w = 0x1p-14f;
  for (const Context& ctx : both) {
    std::vector<f16> y{7.0f, 7.0f};
    std::uint8_t positive = 0xff;
    conv2d_fused_fwd(ctx, d, x.data(), &w, nullptr, nullptr, true, y.data(), &positive);
    CHECK(y[0] == 0.0f);
    CHECK(y[1] == 0x1p-14f);
    CHECK(positive == 2);
  }
}
