// Batch norm in training, ours in both directions. oneDNN's sums in float32: its error in the mean (about 1e-7, always
// to the same side in long columns) moved values across the ReLU behind the norm and made gradients five to seven times
// as noisy as PyTorch's double sums do, outside of what the recordings allow; and it reads the activation once more.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/exec.h"
#include "kernels/kernels.h"

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

}  // namespace

void batch_norm_fwd(const Context& ctx, const Rows& d, double eps, const float* x, const float* gamma,
                    const float* beta, float* y, float* mean, float* var) {
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
  Exec(ctx).grid(d.rows, n, [=](int64_t r, int64_t c) { y[r * n + c] = (x[r * n + c] - mean[c]) * s[c] + beta[c]; });
}

// dx = gamma/std (dy - mean(dy) - xhat mean(dy xhat)), xhat = (x - mean)/std: per channel a dy + b (x - mean) + k.
void batch_norm_bwd(const Context& ctx, const Rows& d, double eps, const float* x, const float* dy, const float* gamma,
                    const float* mean, const float* var, float* dx, float* dgamma, float* dbeta, Accum accum) {
  if (d.rows == 0 || d.c == 0) {
    if (accum == Accum::write && dgamma) cpu::fill(ctx, d.c, 0.0, dgamma);
    if (accum == Accum::write && dbeta) cpu::fill(ctx, d.c, 0.0, dbeta);
    return;
  }
  const int64_t n = d.c;
  const std::vector<double> sums = two_sums(d, [x, dy, mean, n](int64_t r, int64_t c, double& sum, double& dot) {
    const double g = dy[r * n + c];
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
  if (!dx) return;
  Exec(ctx).grid(d.rows, n, [=](int64_t r, int64_t c) {
    const int64_t i = r * n + c;
    dx[i] = a[c] * dy[i] + b[c] * (x[i] - mean[c]) + k[c];
  });
}

// Double is for checks: it runs the plain loops.
void batch_norm_fwd(const Context& ctx, const Rows& d, double eps, const double* x, const double* gamma,
                    const double* beta, double* y, double* mean, double* var) {
  ref::batch_norm_fwd(ctx, d, eps, x, gamma, beta, y, mean, var);
}
void batch_norm_bwd(const Context& ctx, const Rows& d, double eps, const double* x, const double* dy,
                    const double* gamma, const double* mean, const double* var, double* dx, double* dgamma,
                    double* dbeta, Accum accum) {
  ref::batch_norm_bwd(ctx, d, eps, x, dy, gamma, mean, var, dx, dgamma, dbeta, accum);
}

}  // namespace pen::kernels::cpu
