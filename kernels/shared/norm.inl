// Batch norm in evaluation (fixed statistics) with the residual addition and ReLU that follow it, and running averages.
#pragma once

#include "kernels/shared/math.inl"

namespace pen::kernels::shared {

template <class Exec, class real>
void norm_fold(const Context& ctx, index_t c, double eps, const real* mean, const real* var, const real* gamma,
               const real* beta, real* scale, real* shift) {
  const real e = static_cast<real>(eps);
  Exec(ctx).map(c, [=] PEN_HD(index_t i) {
    scale[i] = gamma[i] / std::sqrt(var[i] + e);
    shift[i] = beta[i] - mean[i] * scale[i];
  });
}

// The nullable operand and the flag stay out of the inner loops, so that compilers vectorise them.
template <class Exec, class real>
void norm_eval_fwd(const Context& ctx, const Rows& d, const real* x, const wide_t<real>* scale,
                   const wide_t<real>* shift, const real* residual, bool relu, real* y) {
  using wide = wide_t<real>;
  const index_t n = d.c;
  const Exec exec(ctx);
  if (residual && relu) {
    exec.grid(d.rows, n, [=] PEN_HD(index_t r, index_t c) {
      const index_t i = r * n + c;
      y[i] = static_cast<real>(clamp_min(scale[c] * x[i] + shift[c] + residual[i], wide(0)));
    });
  } else if (residual) {
    exec.grid(d.rows, n, [=] PEN_HD(index_t r, index_t c) {
      const index_t i = r * n + c;
      y[i] = static_cast<real>(scale[c] * x[i] + shift[c] + residual[i]);
    });
  } else if (relu) {
    exec.grid(d.rows, n, [=] PEN_HD(index_t r, index_t c) {
      const index_t i = r * n + c;
      y[i] = static_cast<real>(clamp_min(scale[c] * x[i] + shift[c], wide(0)));
    });
  } else {
    exec.grid(d.rows, n, [=] PEN_HD(index_t r, index_t c) {
      y[r * n + c] = static_cast<real>(scale[c] * x[r * n + c] + shift[c]);
    });
  }
}

template <class Exec, class real>
void norm_eval_bwd(const Context& ctx, const Rows& d, const real* dy, const real* y, const wide_t<real>* scale,
                   bool relu, real* dx, real* dresidual) {
  using wide = wide_t<real>;
  const index_t n = d.c;
  const Exec exec(ctx);
  // The residual's gradient first: dx may overwrite dy.
  if (dresidual && relu) {
    exec.map(d.rows * n, [=] PEN_HD(index_t i) { dresidual[i] = y[i] > wide(0) ? dy[i] : real(0); });
  } else if (dresidual) {
    exec.map(d.rows * n, [=] PEN_HD(index_t i) { dresidual[i] = dy[i]; });
  }
  if (dx && relu) {
    exec.grid(d.rows, n, [=] PEN_HD(index_t r, index_t c) {
      const index_t i = r * n + c;
      dx[i] = static_cast<real>(y[i] > wide(0) ? scale[c] * dy[i] : wide(0));
    });
  } else if (dx) {
    exec.grid(d.rows, n,
              [=] PEN_HD(index_t r, index_t c) { dx[r * n + c] = static_cast<real>(scale[c] * dy[r * n + c]); });
  }
}

template <class Exec, class real>
void norm_eval_bwd_param(const Context& ctx, const Rows& d, double eps, const real* x, const real* dy, const real* y,
                         const wide_t<real>* mean, const wide_t<real>* var, bool relu, wide_t<real>* dgamma,
                         wide_t<real>* dbeta, Accum accum) {
  using wide = wide_t<real>;
  const index_t n = d.c;
  const Exec exec(ctx);
  const auto masked = [=] PEN_HD(index_t i) { return relu && !(y[i] > wide(0)) ? 0.0 : static_cast<double>(dy[i]); };
  if (dgamma)
    exec.reduce_middle(
        1, d.rows, n,
        [=] PEN_HD(index_t, index_t r, index_t c) {
          return masked(r * n + c) * static_cast<double>(x[r * n + c] - mean[c]);
        },
        [=] PEN_HD(index_t, index_t c, double sum) {
          store(dgamma, c, sum / std::sqrt(static_cast<double>(var[c]) + eps), accum);
        });
  if (dbeta)
    exec.reduce_middle(
        1, d.rows, n, [=] PEN_HD(index_t, index_t r, index_t c) { return masked(r * n + c); },
        [=] PEN_HD(index_t, index_t c, double sum) { store(dbeta, c, sum, accum); });
}

template <class Exec, class real>
void norm_running(const Context& ctx, const Rows& d, double momentum, const real* mean, const real* var,
                  real* running_mean, real* running_var) {
  const real m = static_cast<real>(momentum);
  // n/(n-1): the running variance follows the sample variance. One row has none: 0/0 is kept out.
  const real unbias =
      d.rows > 1 ? static_cast<real>(static_cast<double>(d.rows) / static_cast<double>(d.rows - 1)) : real(1);
  Exec(ctx).map(d.c, [=] PEN_HD(index_t c) {
    running_mean[c] = (real(1) - m) * running_mean[c] + m * mean[c];
    running_var[c] = (real(1) - m) * running_var[c] + m * (var[c] * unbias);
  });
}

}  // namespace pen::kernels::shared
