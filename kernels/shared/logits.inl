// Rows of logits: softmax, cross entropy, entropy, divergence from a prior. Always with the row's maximum subtracted,
// so that no exponential overflows; sums in double.
#pragma once

#include "kernels/shared/math.inl"

namespace pen::kernels::shared {

template <class real>
struct RowNorm {
  real max;
  double log_sum;  // log of the sum of exp(x - max)
};

template <class real>
PEN_HD inline RowNorm<real> row_norm(const real* x, index_t n) {
  real max = x[0];
  for (index_t k = 1; k < n; ++k) max = x[k] > max ? x[k] : max;
  double sum = 0;
  for (index_t k = 0; k < n; ++k) sum += static_cast<double>(std::exp(x[k] - max));
  return {max, std::log(sum)};
}

// log softmax of one entry
template <class real>
PEN_HD inline double log_q(const RowNorm<real>& norm, real x) {
  return static_cast<double>(x - norm.max) - norm.log_sum;
}

template <class Exec, class real>
void softmax_fwd(const Context& ctx, index_t rows, index_t n, const real* x, real* y) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r) {
    const RowNorm<real> norm = row_norm(x + r * n, n);
    for (index_t k = 0; k < n; ++k) y[r * n + k] = static_cast<real>(std::exp(log_q(norm, x[r * n + k])));
  });
}

template <class Exec, class real>
void softmax_bwd(const Context& ctx, index_t rows, index_t n, const real* y, const real* dy, real* dx) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r) {
    double dot = 0;
    for (index_t k = r * n; k < (r + 1) * n; ++k) dot += static_cast<double>(y[k]) * static_cast<double>(dy[k]);
    for (index_t k = r * n; k < (r + 1) * n; ++k) dx[k] = y[k] * (dy[k] - static_cast<real>(dot));
  });
}

template <class Exec, class real>
void log_softmax_fwd(const Context& ctx, index_t rows, index_t n, const real* x, real* y) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r) {
    const RowNorm<real> norm = row_norm(x + r * n, n);
    for (index_t k = 0; k < n; ++k) y[r * n + k] = static_cast<real>(log_q(norm, x[r * n + k]));
  });
}

template <class Exec, class real>
void log_softmax_bwd(const Context& ctx, index_t rows, index_t n, const real* y, const real* dy, real* dx) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r) {
    double sum = 0;
    for (index_t k = r * n; k < (r + 1) * n; ++k) sum += static_cast<double>(dy[k]);
    for (index_t k = r * n; k < (r + 1) * n; ++k) dx[k] = dy[k] - std::exp(y[k]) * static_cast<real>(sum);
  });
}

template <class Exec, class real>
void cross_entropy_fwd(const Context& ctx, index_t rows, index_t n, double smoothing, const real* x,
                       const std::int64_t* labels, real* loss) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r) {
    const real* row = x + r * n;
    const RowNorm<real> norm = row_norm(row, n);
    double sum = 0;
    if (smoothing > 0)
      for (index_t k = 0; k < n; ++k) sum -= log_q(norm, row[k]);
    loss[r] = static_cast<real>((1 - smoothing) * -log_q(norm, row[labels[r]]) + smoothing / double(n) * sum);
  });
}

template <class Exec, class real>
void cross_entropy_bwd(const Context& ctx, index_t rows, index_t n, double smoothing, const real* x,
                       const std::int64_t* labels, const real* dloss, real* dx) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r) {
    const RowNorm<real> norm = row_norm(x + r * n, n);
    for (index_t k = 0; k < n; ++k) {
      const double target = (k == labels[r] ? 1 - smoothing : 0.0) + smoothing / double(n);
      dx[r * n + k] = static_cast<real>((std::exp(log_q(norm, x[r * n + k])) - target) * static_cast<double>(dloss[r]));
    }
  });
}

template <class real>
PEN_HD inline double row_entropy(const RowNorm<real>& norm, const real* x, index_t n) {
  double h = 0;
  for (index_t k = 0; k < n; ++k) {
    const double log_p = log_q(norm, x[k]), p = std::exp(log_p);
    if (p > 0) h -= p * log_p;
  }
  return h;
}

template <class Exec, class real>
void entropy_fwd(const Context& ctx, index_t rows, index_t n, const real* x, real* h) {
  Exec(ctx).rows(
      rows, [=] PEN_HD(index_t r) { h[r] = static_cast<real>(row_entropy(row_norm(x + r * n, n), x + r * n, n)); });
}

template <class Exec, class real>
void entropy_bwd(const Context& ctx, index_t rows, index_t n, const real* x, const real* dh, real* dx) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r) {
    const RowNorm<real> norm = row_norm(x + r * n, n);
    const double h = row_entropy(norm, x + r * n, n);
    for (index_t k = 0; k < n; ++k) {
      const double log_p = log_q(norm, x[r * n + k]), p = std::exp(log_p);
      dx[r * n + k] = static_cast<real>(p > 0 ? -p * (log_p + h) * static_cast<double>(dh[r]) : 0.0);
    }
  });
}

// The terms whose mean under q (backward) or sum (forward) is the divergence.
template <class real>
PEN_HD inline double prior_divergence(const RowNorm<real>& norm, const real* x, const real* prior, index_t n,
                                      bool backward) {
  double sum = 0;
  for (index_t k = 0; k < n; ++k) {
    const double log_p = log_q(norm, x[k]), p = static_cast<double>(prior[k]);
    if (backward) {
      const double q = std::exp(log_p);
      if (q > 0) sum -= q * (std::log(p) - log_p);
    } else {
      sum -= p * log_p;
    }
  }
  return sum;
}

template <class Exec, class real>
void prior_divergence_fwd(const Context& ctx, index_t rows, index_t n, bool backward, const real* x, const real* prior,
                          real* y) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r) {
    y[r] = static_cast<real>(prior_divergence(row_norm(x + r * n, n), x + r * n, prior, n, backward));
  });
}

template <class Exec, class real>
void prior_divergence_bwd(const Context& ctx, index_t rows, index_t n, bool backward, const real* x, const real* prior,
                          const real* dy, real* dx) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r) {
    const real* row = x + r * n;
    const RowNorm<real> norm = row_norm(row, n);
    const double g = static_cast<double>(dy[r]);
    const double d = backward ? prior_divergence(norm, row, prior, n, true) : 0.0;
    double total = 0;  // of the prior: it need not be normalised
    if (!backward)
      for (index_t k = 0; k < n; ++k) total += static_cast<double>(prior[k]);
    for (index_t k = 0; k < n; ++k) {
      const double log_p = log_q(norm, row[k]), q = std::exp(log_p), p = static_cast<double>(prior[k]);
      const double slope = backward ? (q > 0 ? q * (log_p - std::log(p) - d) : 0.0) : q * total - p;
      dx[r * n + k] = static_cast<real>(g * slope);
    }
  });
}

template <class Exec, class real>
void argmax_rows(const Context& ctx, index_t rows, index_t n, const real* x, std::int64_t* best) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r) {
    index_t top = 0;
    for (index_t k = 1; k < n; ++k)
      if (x[r * n + k] > x[r * n + top]) top = k;
    best[r] = top;
  });
}

}  // namespace pen::kernels::shared
