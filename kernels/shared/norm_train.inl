// Batch norm in training: CUDA's twin, on one walk per direction for both sums of a channel. (The CPU's is in
// cpu/norm.cpp, for its cache-sized pieces.) A worker has some channels and walks over rows, so that what a channel
// needs is read once.
#pragma once

#include "kernels/shared/math.inl"
#include "kernels/shared/pack.h"

namespace pen::kernels::shared {

// Sums of distances from the first row, and of their squares: a large mean costs no digits of the variance.
template <class real>
struct NormSums {
  const real* x;
  index_t n;

  template <int W>
  struct Columns {
    const real* x;
    index_t n;
    Pack<real, W> origin;
    PEN_HD void operator()(index_t r, wide_t<real>* first, wide_t<real>* second) const {
      const auto from = read_pack<W>(x + r * n);
      for (int l = 0; l < W; ++l) {
        const wide_t<real> v = wide_t<real>(from.at[l]) - wide_t<real>(origin.at[l]);
        first[l] += v;
        second[l] += v * v;
      }
    }
  };
  template <int W>
  PEN_HD Columns<W> at(index_t c) const {
    return {x + c, n, read_pack<W>(x + c)};
  }
};

// y = act((x - centre) scale + beta + residual)
template <class real>
struct NormApply {
  index_t n;
  const real *x, *residual;
  const wide_t<real>*centre, *scale, *beta;
  bool relu;
  real* y;

  template <int W>
  struct Columns {
    const NormApply& f;
    index_t c;
    Pack<wide_t<real>, W> centre, scale, beta;
    PEN_HD void operator()(index_t r) const {
      using wide = wide_t<real>;
      const index_t i = r * f.n + c;
      const auto from = read_pack<W>(f.x + i);
      wide v[W];
      for (int l = 0; l < W; ++l) v[l] = (from.at[l] - centre.at[l]) * scale.at[l] + beta.at[l];
      if (f.residual) {
        const auto other = read_pack<W>(f.residual + i);
        for (int l = 0; l < W; ++l) v[l] += other.at[l];
      }
      Pack<real, W> to;
      for (int l = 0; l < W; ++l) to.at[l] = static_cast<real>(f.relu ? clamp_min(v[l], wide(0)) : v[l]);
      write_pack(f.y + i, to);
    }
  };
  template <int W>
  PEN_HD Columns<W> at(index_t c) const {
    return {*this, c, read_pack<W>(centre + c), read_pack<W>(scale + c), read_pack<W>(beta + c)};
  }
};

template <class Exec, class real>
void batch_norm_fwd(const Context& ctx, const Rows& d, double eps, const real* x, const real* residual,
                    const wide_t<real>* gamma, const wide_t<real>* beta, bool relu, real* y, wide_t<real>* mean,
                    wide_t<real>* var) {
  using wide = wide_t<real>;
  if (d.rows <= 0 || d.c <= 0) return;
  const Exec exec(ctx);
  const double rows = static_cast<double>(d.rows);
  typename Exec::template Memory<wide> memory(exec, d.c);
  wide* const scale = memory.data();
  exec.template two_sums<wide>(d.rows, d.c, aligned(x), NormSums<real>{x, d.c}, [=] PEN_HD(index_t c, TwoSums sums) {
    const double shifted = sums.first / rows, variance = sums.second / rows - shifted * shifted;
    const double v = variance < 0 ? 0.0 : variance;  // NaN stays
    scale[c] = static_cast<wide>(static_cast<double>(gamma[c]) / std::sqrt(v + eps));
    mean[c] = static_cast<wide>(static_cast<double>(x[c]) + shifted);
    var[c] = static_cast<wide>(v);
  });
  exec.columns(d.rows, d.c, aligned(x, residual, y, mean, beta),
               NormApply<real>{d.c, x, residual, mean, scale, beta, relu, y});
}

// What comes back through the ReLU, where there is one: dy where y, the result, is above zero.
template <class real, int W>
PEN_HD inline Pack<wide_t<real>, W> norm_gradient(const real* dy, const real* y, index_t i) {
  const auto from = read_pack<W>(dy + i);
  Pack<wide_t<real>, W> g;
  for (int l = 0; l < W; ++l) g.at[l] = from.at[l];
  if (y) {
    const auto open = read_pack<W>(y + i);
    for (int l = 0; l < W; ++l)
      if (!(open.at[l] > wide_t<real>(0))) g.at[l] = wide_t<real>(0);
  }
  return g;
}

// Sums of dy and of dy (x - mean).
template <class real>
struct NormGradientSums {
  index_t n;
  const real *x, *dy, *y;
  const wide_t<real>* mean;

  template <int W>
  struct Columns {
    const NormGradientSums& f;
    index_t c;
    Pack<wide_t<real>, W> mean;
    PEN_HD void operator()(index_t r, wide_t<real>* first, wide_t<real>* second) const {
      const index_t i = r * f.n + c;
      const auto from = read_pack<W>(f.x + i);
      const auto g = norm_gradient<real, W>(f.dy, f.y, i);
      for (int l = 0; l < W; ++l) {
        first[l] += g.at[l];
        second[l] += g.at[l] * (from.at[l] - mean.at[l]);
      }
    }
  };
  template <int W>
  PEN_HD Columns<W> at(index_t c) const {
    return {*this, c, read_pack<W>(mean + c)};
  }
};

// dx = a dy + b (x - mean) + k, and the residual's gradient, which is dy.
template <class real>
struct NormGradient {
  index_t n;
  const real *x, *dy, *y;
  const wide_t<real>*mean, *a, *b, *k;
  real *dx, *dresidual;

  template <int W>
  struct Columns {
    const NormGradient& f;
    index_t c;
    Pack<wide_t<real>, W> mean, a, b, k;
    PEN_HD void operator()(index_t r) const {
      const index_t i = r * f.n + c;
      const auto g = norm_gradient<real, W>(f.dy, f.y, i);  // before one of the two is written over dy
      Pack<real, W> to;
      if (f.dx) {
        const auto from = read_pack<W>(f.x + i);
        for (int l = 0; l < W; ++l)
          to.at[l] = static_cast<real>(a.at[l] * g.at[l] + b.at[l] * (from.at[l] - mean.at[l]) + k.at[l]);
        write_pack(f.dx + i, to);
      }
      if (f.dresidual) {
        for (int l = 0; l < W; ++l) to.at[l] = static_cast<real>(g.at[l]);
        write_pack(f.dresidual + i, to);
      }
    }
  };
  template <int W>
  PEN_HD Columns<W> at(index_t c) const {
    return {*this, c, read_pack<W>(mean + c), read_pack<W>(a + c), read_pack<W>(b + c), read_pack<W>(k + c)};
  }
};

// dx = gamma/std (dy - mean(dy) - xhat mean(dy xhat)), xhat = (x - mean)/std: per channel a dy + b (x - mean) + k.
template <class Exec, class real>
void batch_norm_bwd(const Context& ctx, const Rows& d, double eps, const real* x, const real* dy, const real* y,
                    const wide_t<real>* gamma, const wide_t<real>* mean, const wide_t<real>* var, real* dx,
                    real* dresidual, wide_t<real>* dgamma, wide_t<real>* dbeta, Accum accum) {
  using wide = wide_t<real>;
  if (d.c <= 0) return;
  const Exec exec(ctx);
  const double rows = static_cast<double>(d.rows > 0 ? d.rows : 1);
  // Each array begins where packs may be read.
  const index_t n = (d.c + 15) / 16 * 16;
  typename Exec::template Memory<wide> memory(exec, 3 * n);
  wide *const a = memory.data(), *const b = a + n, *const k = b + n;
  exec.template two_sums<wide>(d.rows, d.c, aligned(x, dy, y, mean), NormGradientSums<real>{d.c, x, dy, y, mean},
                               [=] PEN_HD(index_t c, TwoSums sums) {
                                 const double inv_std = 1.0 / std::sqrt(static_cast<double>(var[c]) + eps);
                                 const double dot = sums.second * inv_std,
                                              factor = static_cast<double>(gamma[c]) * inv_std;
                                 if (dgamma) store(dgamma, c, dot, accum);
                                 if (dbeta) store(dbeta, c, sums.first, accum);
                                 a[c] = static_cast<wide>(factor);
                                 b[c] = static_cast<wide>(-factor * inv_std * dot / rows);
                                 k[c] = static_cast<wide>(-factor * sums.first / rows);
                               });
  if (!dx && !dresidual) return;
  exec.columns(d.rows, d.c, aligned(x, dy, y, mean, dx, dresidual),
               NormGradient<real>{d.c, x, dy, y, mean, a, b, k, dx, dresidual});
}

}  // namespace pen::kernels::shared
