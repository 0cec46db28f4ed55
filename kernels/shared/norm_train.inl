// Batch norm in training: CUDA's twin, on one walk per direction for both sums of a channel. (The CPU's is in
// cpu/norm.cpp, for its cache-sized pieces.)
#pragma once

#include "kernels/shared/math.inl"

namespace pen::kernels::shared {

template <class Exec, class real>
void batch_norm_fwd(const Context& ctx, const Rows& d, double eps, const real* x, const real* residual,
                    const wide_t<real>* gamma, const wide_t<real>* beta, bool relu, real* y, wide_t<real>* mean,
                    wide_t<real>* var) {
  using wide = wide_t<real>;
  if (d.rows <= 0 || d.c <= 0) return;
  const Exec exec(ctx);
  const index_t n = d.c;
  const double rows = static_cast<double>(d.rows);
  typename Exec::template Memory<double> memory(exec, 2 * n);
  double *const centre = memory.data(), *const scale = centre + n;
  // Distances from the first row: a large mean costs no digits of the variance.
  exec.reduce_middle(
      1, d.rows, n,
      [=] PEN_HD(index_t, index_t r, index_t c) {
        const double v = static_cast<double>(x[r * n + c]) - static_cast<double>(x[c]);
        return TwoSums{v, v * v};
      },
      [=] PEN_HD(index_t, index_t c, TwoSums sums) {
        const double shifted = sums.first / rows, variance = sums.second / rows - shifted * shifted;
        const double v = variance < 0 ? 0.0 : variance;  // NaN stays
        centre[c] = static_cast<double>(x[c]) + shifted;
        scale[c] = static_cast<double>(gamma[c]) / std::sqrt(v + eps);
        mean[c] = static_cast<wide>(centre[c]);
        var[c] = static_cast<wide>(v);
      });
  exec.grid(d.rows, n, [=] PEN_HD(index_t r, index_t c) {
    const index_t i = r * n + c;
    const wide m = static_cast<wide>(centre[c]), s = static_cast<wide>(scale[c]);
    wide v = (x[i] - m) * s + beta[c];
    if (residual) v += residual[i];
    y[i] = static_cast<real>(relu ? clamp_min(v, wide(0)) : v);
  });
}

// dx = gamma/std (dy - mean(dy) - xhat mean(dy xhat)), xhat = (x - mean)/std: per channel a dy + b (x - mean) + k.
template <class Exec, class real>
void batch_norm_bwd(const Context& ctx, const Rows& d, double eps, const real* x, const real* dy, const real* y,
                    const wide_t<real>* gamma, const wide_t<real>* mean, const wide_t<real>* var, real* dx,
                    real* dresidual, wide_t<real>* dgamma, wide_t<real>* dbeta, Accum accum) {
  using wide = wide_t<real>;
  if (d.c <= 0) return;
  const Exec exec(ctx);
  const index_t n = d.c;
  const double rows = static_cast<double>(d.rows > 0 ? d.rows : 1);
  typename Exec::template Memory<wide> memory(exec, 3 * n);
  wide *const a = memory.data(), *const b = a + n, *const k = b + n;
  exec.reduce_middle(
      1, d.rows, n,
      [=] PEN_HD(index_t, index_t r, index_t c) {
        const double g = y && !(y[r * n + c] > wide(0)) ? wide(0) : wide(dy[r * n + c]);
        return TwoSums{g, g * (static_cast<double>(x[r * n + c]) - static_cast<double>(mean[c]))};
      },
      [=] PEN_HD(index_t, index_t c, TwoSums sums) {
        const double inv_std = 1.0 / std::sqrt(static_cast<double>(var[c]) + eps);
        const double dot = sums.second * inv_std, factor = static_cast<double>(gamma[c]) * inv_std;
        if (dgamma) store(dgamma, c, dot, accum);
        if (dbeta) store(dbeta, c, sums.first, accum);
        a[c] = static_cast<wide>(factor);
        b[c] = static_cast<wide>(-factor * inv_std * dot / rows);
        k[c] = static_cast<wide>(-factor * sums.first / rows);
      });
  if (!dx && !dresidual) return;
  exec.grid(d.rows, n, [=] PEN_HD(index_t r, index_t c) {
    const index_t i = r * n + c;
    const wide g = y && !(y[i] > wide(0)) ? wide(0) : wide(dy[i]);  // before one of the two is written over dy
    if (dx) dx[i] = static_cast<real>(a[c] * g + b[c] * (x[i] - mean[c]) + k[c]);
    if (dresidual) dresidual[i] = static_cast<real>(g);
  });
}

}  // namespace pen::kernels::shared
