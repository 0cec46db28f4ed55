// Rows of logits: softmax, cross entropy, entropy, divergence from a prior. Always with the row's maximum subtracted,
// so that no exponential overflows; sums in double. A row has a team: one worker on the CPU, a block of threads on a
// GPU.
#pragma once

#include "kernels/shared/math.inl"

namespace pen::kernels::shared {

template <class real>
struct RowNorm {
  real max;
  double log_sum;  // log of the sum of exp(x - max)
};

template <class Team, class real>
PEN_HD inline RowNorm<real> row_norm(const Team& team, const real* x, index_t n) {
  const real max = x[team.largest(n, [=](index_t k) { return x[k]; })];
  const double sum = team.sum(n, [=](index_t k) { return static_cast<double>(std::exp(x[k] - max)); });
  return {max, std::log(sum)};
}

// log softmax of one entry
template <class real>
PEN_HD inline double log_q(const RowNorm<real>& norm, real x) {
  return static_cast<double>(x - norm.max) - norm.log_sum;
}

template <class Exec, class real>
void softmax_fwd(const Context& ctx, index_t rows, index_t n, const real* x, real* y) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r, const typename Exec::Team& team) {
    const real* row = x + r * n;
    const RowNorm<real> norm = row_norm(team, row, n);
    team.each(n, [=](index_t k) { y[r * n + k] = static_cast<real>(std::exp(log_q(norm, row[k]))); });
  });
}

template <class Exec, class real>
void softmax_bwd(const Context& ctx, index_t rows, index_t n, const real* y, const real* dy, real* dx) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r, const typename Exec::Team& team) {
    const index_t at = r * n;
    const double dot =
        team.sum(n, [=](index_t k) { return static_cast<double>(y[at + k]) * static_cast<double>(dy[at + k]); });
    team.each(n, [=](index_t k) { dx[at + k] = y[at + k] * (dy[at + k] - static_cast<real>(dot)); });
  });
}

template <class Exec, class real>
void log_softmax_fwd(const Context& ctx, index_t rows, index_t n, const real* x, real* y) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r, const typename Exec::Team& team) {
    const real* row = x + r * n;
    const RowNorm<real> norm = row_norm(team, row, n);
    team.each(n, [=](index_t k) { y[r * n + k] = static_cast<real>(log_q(norm, row[k])); });
  });
}

template <class Exec, class real>
void log_softmax_bwd(const Context& ctx, index_t rows, index_t n, const real* y, const real* dy, real* dx) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r, const typename Exec::Team& team) {
    const index_t at = r * n;
    const double sum = team.sum(n, [=](index_t k) { return static_cast<double>(dy[at + k]); });
    team.each(n, [=](index_t k) { dx[at + k] = dy[at + k] - std::exp(y[at + k]) * static_cast<real>(sum); });
  });
}

template <class Exec, class real>
void cross_entropy_fwd(const Context& ctx, index_t rows, index_t n, double smoothing, const real* x,
                       const std::int64_t* labels, real* loss) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r, const typename Exec::Team& team) {
    const real* row = x + r * n;
    const RowNorm<real> norm = row_norm(team, row, n);
    const double sum = smoothing > 0 ? team.sum(n, [=](index_t k) { return -log_q(norm, row[k]); }) : 0.0;
    if (!team.first()) return;
    const index_t label = labels[r];
    const double of_label = label >= 0 && label < n ? -log_q(norm, row[label]) : static_cast<double>(NAN);
    loss[r] = static_cast<real>((1 - smoothing) * of_label + smoothing / double(n) * sum);
  });
}

template <class Exec, class real>
void cross_entropy_bwd(const Context& ctx, index_t rows, index_t n, double smoothing, const real* x,
                       const std::int64_t* labels, const real* dloss, real* dx) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r, const typename Exec::Team& team) {
    const real* row = x + r * n;
    const RowNorm<real> norm = row_norm(team, row, n);
    team.each(n, [=](index_t k) {
      const double target = (k == labels[r] ? 1 - smoothing : 0.0) + smoothing / double(n);
      dx[r * n + k] = static_cast<real>((std::exp(log_q(norm, row[k])) - target) * static_cast<double>(dloss[r]));
    });
  });
}

template <class Team, class real>
PEN_HD inline double row_entropy(const Team& team, const RowNorm<real>& norm, const real* x, index_t n) {
  return team.sum(n, [=](index_t k) {
    const double log_p = log_q(norm, x[k]), p = std::exp(log_p);
    return p > 0 ? -(p * log_p) : 0.0;
  });
}

template <class Exec, class real>
void entropy_fwd(const Context& ctx, index_t rows, index_t n, const real* x, real* h) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r, const typename Exec::Team& team) {
    const double sum = row_entropy(team, row_norm(team, x + r * n, n), x + r * n, n);
    if (team.first()) h[r] = static_cast<real>(sum);
  });
}

template <class Exec, class real>
void entropy_bwd(const Context& ctx, index_t rows, index_t n, const real* x, const real* dh, real* dx) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r, const typename Exec::Team& team) {
    const RowNorm<real> norm = row_norm(team, x + r * n, n);
    const double h = row_entropy(team, norm, x + r * n, n);
    team.each(n, [=](index_t k) {
      const double log_p = log_q(norm, x[r * n + k]), p = std::exp(log_p);
      dx[r * n + k] = static_cast<real>(p > 0 ? -p * (log_p + h) * static_cast<double>(dh[r]) : 0.0);
    });
  });
}

// The terms whose mean under q (backward) or sum (forward) is the divergence.
template <class Team, class real>
PEN_HD inline double prior_divergence(const Team& team, const RowNorm<real>& norm, const real* x, const real* prior,
                                      index_t n, bool backward) {
  return team.sum(n, [=](index_t k) {
    const double log_p = log_q(norm, x[k]), p = static_cast<double>(prior[k]);
    if (!backward) return -(p * log_p);
    const double q = std::exp(log_p);
    return q > 0 ? -(q * (std::log(p) - log_p)) : 0.0;
  });
}

template <class Exec, class real>
void prior_divergence_fwd(const Context& ctx, index_t rows, index_t n, bool backward, const real* x, const real* prior,
                          real* y) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r, const typename Exec::Team& team) {
    const double d = prior_divergence(team, row_norm(team, x + r * n, n), x + r * n, prior, n, backward);
    if (team.first()) y[r] = static_cast<real>(d);
  });
}

template <class Exec, class real>
void prior_divergence_bwd(const Context& ctx, index_t rows, index_t n, bool backward, const real* x, const real* prior,
                          const real* dy, real* dx) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r, const typename Exec::Team& team) {
    const real* row = x + r * n;
    const RowNorm<real> norm = row_norm(team, row, n);
    const double g = static_cast<double>(dy[r]);
    const double d = backward ? prior_divergence(team, norm, row, prior, n, true) : 0.0;
    // of the prior: it need not be normalised
    const double total = backward ? 0.0 : team.sum(n, [=](index_t k) { return static_cast<double>(prior[k]); });
    team.each(n, [=](index_t k) {
      const double log_p = log_q(norm, row[k]), q = std::exp(log_p), p = static_cast<double>(prior[k]);
      const double slope = backward ? (q > 0 ? q * (log_p - std::log(p) - d) : 0.0) : q * total - p;
      dx[r * n + k] = static_cast<real>(g * slope);
    });
  });
}

template <class Exec, class real>
void argmax_rows(const Context& ctx, index_t rows, index_t n, const real* x, std::int64_t* best) {
  Exec(ctx).rows(rows, [=] PEN_HD(index_t r, const typename Exec::Team& team) {
    const index_t top = team.largest(n, [=](index_t k) { return x[r * n + k]; });
    if (team.first()) best[r] = top;
  });
}

template <class Exec, class real>
void equal_ids(const Context& ctx, index_t n, const std::int64_t* a, const std::int64_t* b, real* y) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = a[i] == b[i] ? real(1) : real(0); });
}

template <class Exec, class real>
void largest_excess(const Context& ctx, index_t rows, index_t classes, bool divide, const real* q, const double* prior,
                    std::int64_t* best) {
  Exec(ctx).map(rows, [=] PEN_HD(index_t r) {
    index_t at = 0;
    double most = -INFINITY;
    for (index_t k = 0; k < classes; ++k) {
      const double p = static_cast<double>(q[r * classes + k]);
      const double excess = divide ? p / prior[k] : p - prior[k];
      if (excess > most) {  // a NaN is never the largest
        most = excess;
        at = k;
      }
    }
    best[r] = at;
  });
}

}  // namespace pen::kernels::shared
