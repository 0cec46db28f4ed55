// Batch norm in training, ours in both directions. oneDNN's sums in float32: its error in the mean (about 1e-7, always
// to the same side in long columns) moved values across the ReLU behind the norm and made gradients five to seven times
// as noisy as PyTorch's double sums do, outside of what the recordings allow; and it reads the activation once more.
#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "kernels/cpu/exec.h"
#include "kernels/kernels.h"
#include "kernels/shared/math.inl"

namespace pen::kernels::cpu {
namespace {

using std::int64_t;

// Two sums per channel over all rows, (2,C): f(row, c, first, second) adds to both. Pieces depend on the shape alone,
// so the bits do not depend on the number of threads.
template <class F>
std::vector<double> two_sums(const Rows& d, F f) {
  const int64_t piece = std::max<int64_t>(65536 / d.c, 1), pieces = (d.rows + piece - 1) / piece, width = 2 * d.c;
  std::vector<double> partial(static_cast<std::size_t>(pieces * width));
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      double* const first = partial.data() + t * width;
      double* const second = first + d.c;
      const int64_t last = std::min(d.rows, (t + 1) * piece);
      for (int64_t r = t * piece; r < last; ++r) {
#pragma GCC ivdep
        for (int64_t c = 0; c < d.c; ++c) f(r, c, first[c], second[c]);
      }
    }
  });
  for (int64_t t = 1; t < pieces; ++t)
    for (int64_t i = 0; i < width; ++i)
      partial[static_cast<std::size_t>(i)] += partial[static_cast<std::size_t>(t * width + i)];
  partial.resize(static_cast<std::size_t>(width));
  return partial;
}

// f(element, channel) for all elements. What is asked of f per element must not be asked again within it: the inner
// loop has to stay free of questions.
template <class F>
void each(const Rows& d, F f) {
  Exec({}).grid(d.rows, d.c, [f, n = d.c](int64_t r, int64_t c) { f(r * n + c, c); });
}

// T is float, bf16 or f16: what an activation is kept in. Everything else is float, sums are double.
template <class T>
void forward(const Rows& d, double eps, const T* x, const T* residual, const float* gamma, const float* beta, bool relu,
             T* y, float* mean, float* var) {
  if (d.rows == 0 || d.c == 0) return;
  const int64_t n = d.c;
  // Distances from the first row: a large mean costs no digits of the variance.
  const std::vector<double> sums = two_sums(d, [x, n](int64_t r, int64_t c, double& sum, double& squares) {
    const double v = static_cast<double>(x[r * n + c]) - static_cast<double>(x[c]);
    sum += v;
    squares += v * v;
  });
  std::vector<float> scale(static_cast<std::size_t>(n));
  const double rows = static_cast<double>(d.rows);
  for (int64_t c = 0; c < n; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const double shifted = sums[i] / rows, variance = sums[i + static_cast<std::size_t>(n)] / rows - shifted * shifted;
    mean[c] = static_cast<float>(static_cast<double>(x[c]) + shifted);
    var[c] = static_cast<float>(variance < 0 ? 0.0 : variance);  // NaN stays
    scale[i] = static_cast<float>(static_cast<double>(gamma[c]) / std::sqrt(static_cast<double>(var[c]) + eps));
  }
  const float* const s = scale.data();
  const auto value = [=](int64_t i, int64_t c) { return (x[i] - mean[c]) * s[c] + beta[c]; };
  if (residual && relu)
    each(d, [=](int64_t i, int64_t c) { y[i] = shared::clamp_min(value(i, c) + residual[i], 0.0f); });
  else if (residual)
    each(d, [=](int64_t i, int64_t c) { y[i] = value(i, c) + residual[i]; });
  else if (relu)
    each(d, [=](int64_t i, int64_t c) { y[i] = shared::clamp_min(value(i, c), 0.0f); });
  else
    each(d, [=](int64_t i, int64_t c) { y[i] = value(i, c); });
}

// gradient(element) is what the ReLU lets through.
template <class T, class G>
void backward(const Context& ctx, const Rows& d, double eps, const T* x, G gradient, const float* gamma,
              const float* mean, const float* var, T* dx, T* dresidual, float* dgamma, float* dbeta, Accum accum) {
  const int64_t n = d.c;
  const std::vector<double> sums = two_sums(d, [=](int64_t r, int64_t c, double& sum, double& dot) {
    const double g = gradient(r * n + c);
    sum += g;
    dot += g * (static_cast<double>(x[r * n + c]) - static_cast<double>(mean[c]));
  });
  std::vector<float> factors(static_cast<std::size_t>(3 * n));
  float *const a = factors.data(), *const b = a + n, *const k = b + n;
  const double rows = static_cast<double>(d.rows);
  for (int64_t c = 0; c < n; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const double inv_std = 1.0 / std::sqrt(static_cast<double>(var[c]) + eps);
    const double sum = sums[i], dot = sums[i + static_cast<std::size_t>(n)] * inv_std;
    const double factor = static_cast<double>(gamma[c]) * inv_std;
    if (dgamma) dgamma[c] = static_cast<float>((accum == Accum::add ? static_cast<double>(dgamma[c]) : 0.0) + dot);
    if (dbeta) dbeta[c] = static_cast<float>((accum == Accum::add ? static_cast<double>(dbeta[c]) : 0.0) + sum);
    a[c] = static_cast<float>(factor);
    b[c] = static_cast<float>(-factor * inv_std * dot / rows);
    k[c] = static_cast<float>(-factor * sum / rows);
  }
  const auto value = [=](int64_t i, int64_t c, float g) { return a[c] * g + b[c] * (x[i] - mean[c]) + k[c]; };
  if (dx && dresidual)
    each(d, [=](int64_t i, int64_t c) {
      const float g = gradient(i);  // before one of the two is written over dy
      dx[i] = value(i, c, g);
      dresidual[i] = g;
    });
  else if (dx)
    each(d, [=](int64_t i, int64_t c) { dx[i] = value(i, c, gradient(i)); });
  else if (dresidual)
    Exec(ctx).map(d.rows * n, [=](int64_t i) { dresidual[i] = gradient(i); });
}

// dx = gamma/std (g - mean(g) - xhat mean(g xhat)), xhat = (x - mean)/std: per channel a g + b (x - mean) + k.
template <class T>
void gated_backward(const Context& ctx, const Rows& d, double eps, const T* x, const T* dy, const T* y,
                    const float* gamma, const float* mean, const float* var, T* dx, T* dresidual, float* dgamma,
                    float* dbeta, Accum accum) {
  if (d.rows == 0 || d.c == 0) {
    if (accum == Accum::write && dgamma) cpu::fill(ctx, d.c, 0.0, dgamma);
    if (accum == Accum::write && dbeta) cpu::fill(ctx, d.c, 0.0, dbeta);
    return;
  }
  const auto run = [&](auto gradient) {
    backward(ctx, d, eps, x, gradient, gamma, mean, var, dx, dresidual, dgamma, dbeta, accum);
  };
  if (y)
    // By its bits: as a choice between floats that become doubles, GCC does not vectorise it.
    run([dy, y](int64_t i) {
      const std::uint32_t open = static_cast<float>(y[i]) > 0 ? ~std::uint32_t{0} : 0;
      return std::bit_cast<float>(std::bit_cast<std::uint32_t>(static_cast<float>(dy[i])) & open);
    });
  else
    run([dy](int64_t i) { return static_cast<float>(dy[i]); });
}

}  // namespace

#define PEN_DEFINE(T)                                                                                               \
  void batch_norm_fwd(const Context&, const Rows& d, double eps, const T* x, const T* residual, const float* gamma, \
                      const float* beta, bool relu, T* y, float* mean, float* var) {                                \
    forward(d, eps, x, residual, gamma, beta, relu, y, mean, var);                                                  \
  }                                                                                                                 \
  void batch_norm_bwd(const Context& ctx, const Rows& d, double eps, const T* x, const T* dy, const T* y,           \
                      const float* gamma, const float* mean, const float* var, T* dx, T* dresidual, float* dgamma,  \
                      float* dbeta, Accum accum) {                                                                  \
    gated_backward(ctx, d, eps, x, dy, y, gamma, mean, var, dx, dresidual, dgamma, dbeta, accum);                   \
  }
PEN_DEFINE(float)
PEN_DEFINE(bf16)
PEN_DEFINE(f16)
#undef PEN_DEFINE

// Double is for checks: it runs the plain loops.
void batch_norm_fwd(const Context& ctx, const Rows& d, double eps, const double* x, const double* residual,
                    const double* gamma, const double* beta, bool relu, double* y, double* mean, double* var) {
  ref::batch_norm_fwd(ctx, d, eps, x, residual, gamma, beta, relu, y, mean, var);
}
void batch_norm_bwd(const Context& ctx, const Rows& d, double eps, const double* x, const double* dy, const double* y,
                    const double* gamma, const double* mean, const double* var, double* dx, double* dresidual,
                    double* dgamma, double* dbeta, Accum accum) {
  ref::batch_norm_bwd(ctx, d, eps, x, dy, y, gamma, mean, var, dx, dresidual, dgamma, dbeta, accum);
}

}  // namespace pen::kernels::cpu
