// Elementwise kernels and simple movements of rows and columns. `Exec` says how an index space is walked:
//   map(n, f)                     f(i)
//   each(n, y, f, x...)           y[i] = f(x[i]...); y may be an x
//   eights(n, whole, f)           f(i, count) for i = 0, 8, ...; count is Whole where eight may be read at once
//   grid(rows, cols, f)           f(row, col), columns fastest
//   columns(rows, cols, whole, f) f.at<W>(col)(row): W columns with all their rows, what they need is read once
//   rows(n, f)                    f(row, team), a team of workers for each row (team.h)
//   reduce(rows, cols, f, g)      g(row, sum over col of f(row, col)), in double, in a fixed order
//   reduce_middle(outer, rows, cols, f, g)   g(o, col, sum over row of f(o, row, col)), likewise
//   two_sums(rows, cols, whole, f, g)        g(col, sums over row) of what f.at<W>(col)(row, first, second) adds
//   Memory<T>(exec, n)            working memory of n elements
// whole: aligned() for all that is read or written in packs (pack.h). Sums are of f's type: double, or TwoSums where
// one pass takes two of them.
#pragma once

#include "kernels/shared/math.inl"
#include "kernels/shared/pack.h"

namespace pen::kernels::shared {

template <class Exec, class real>
void fill(const Context& ctx, index_t n, double value, real* y) {
  const real v = static_cast<real>(value);
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = v; });
}

template <class Exec, class real>
void copy(const Context& ctx, index_t n, const real* x, real* y) {
  Exec(ctx).each(
      n, y, [=] PEN_HD(real v) { return v; }, x);
}

template <class Exec, class real, class wide>
void narrow(const Context& ctx, index_t n, const wide* x, real* y) {
  Exec(ctx).each(
      n, y, [=] PEN_HD(wide v) { return static_cast<real>(v); }, x);
}

template <class Exec, class real, class wide>
void widen(const Context& ctx, index_t n, const real* x, wide* y) {
  Exec(ctx).each(
      n, y, [=] PEN_HD(real v) { return static_cast<wide>(v); }, x);
}

template <class Exec, class real>
void affine(const Context& ctx, index_t n, double a, double b, const real* x, real* y) {
  const real ra = static_cast<real>(a), rb = static_cast<real>(b);
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = ra * x[i] + rb; });
}

template <class Exec, class real>
void add_scaled(const Context& ctx, index_t n, double a, const real* x1, double b, const real* x2, real* y) {
  const wide_t<real> ra = static_cast<wide_t<real>>(a), rb = static_cast<wide_t<real>>(b);
  Exec(ctx).each(
      n, y, [=] PEN_HD(real v1, real v2) { return static_cast<real>(ra * v1 + rb * v2); }, x1, x2);
}

template <class Exec, class real>
void mul(const Context& ctx, index_t n, const real* x1, const real* x2, real* y) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = x1[i] * x2[i]; });
}

template <class Exec, class real>
void scale_by(const Context& ctx, index_t n, const real* x, const real* s, real* y) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = x[i] * s[0]; });
}

template <class Exec, class real>
void add_relu(const Context& ctx, index_t n, const real* x1, const real* x2, real* y) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = clamp_min(x1[i] + x2[i], real(0)); });
}

template <class Exec, class real>
void relu_fwd(const Context& ctx, index_t n, const real* x, real* y) {
  // x < 0 ? 0 : x rather than max, so that a NaN stays visible
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = x[i] < real(0) ? real(0) : x[i]; });
}

template <class Exec, class real>
void relu_bwd(const Context& ctx, index_t n, ReluRule rule, const real* x, const real* y, const real* dy, real* dx) {
  switch (rule) {
    case ReluRule::standard:
      Exec(ctx).map(n, [=] PEN_HD(index_t i) { dx[i] = y[i] > real(0) ? dy[i] : real(0); });
      break;
    case ReluRule::guided:
      Exec(ctx).map(n, [=] PEN_HD(index_t i) { dx[i] = x[i] >= real(0) ? clamp_min(dy[i], real(0)) : real(0); });
      break;
    case ReluRule::deconvnet:
      Exec(ctx).map(n, [=] PEN_HD(index_t i) { dx[i] = clamp_min(dy[i], real(0)); });
      break;
  }
}

template <class real>
struct MarkPositive {
  const real* y;
  std::uint8_t* positive;
  template <class Count>
  PEN_HD void operator()(index_t first, Count count) const {
    const auto from = read_eight(count, y + first);
    unsigned byte = 0;
    for (int j = 0; j < 8; ++j)
      if (from.at[j] > wide_t<real>(0)) byte |= 1u << j;
    positive[first / 8] = static_cast<std::uint8_t>(byte);
  }
};
template <class Exec, class real>
void mark_positive(const Context& ctx, index_t n, const real* y, std::uint8_t* positive) {
  Exec(ctx).eights(n, aligned(y), MarkPositive<real>{y, positive});
}

template <class real>
struct Gate {
  wide_t<real> keep;
  const real* dy;
  const std::uint8_t* open;
  real* dx;
  template <class Count>
  PEN_HD void operator()(index_t first, Count count) const {
    const auto from = read_eight(count, dy + first);
    const unsigned byte = open[first / 8];
    Pack<real, 8> to;
    for (int j = 0; j < 8; ++j) to.at[j] = static_cast<real>(gated<wide_t<real>>(from.at[j], byte >> j & 1, keep));
    write_eight(count, dx + first, to);
  }
};
template <class Exec, class real>
void gate(const Context& ctx, index_t n, double slope, const real* dy, const std::uint8_t* open, real* dx) {
  Exec(ctx).eights(n, aligned(dy, dx), Gate<real>{static_cast<wide_t<real>>(slope), dy, open, dx});
}

template <class Exec, class real>
void leaky_relu_fwd(const Context& ctx, index_t n, double slope, const real* x, real* y) {
  using wide = wide_t<real>;
  const wide s = static_cast<wide>(slope);
  Exec(ctx).map(n, [=] PEN_HD(index_t i) {
    const wide v = x[i];
    y[i] = static_cast<real>(v > wide(0) ? v : s * v);
  });
}

template <class Exec, class real>
void leaky_relu_bwd(const Context& ctx, index_t n, double slope, const real* x, const real* dy, real* dx) {
  using wide = wide_t<real>;
  const wide s = static_cast<wide>(slope);
  Exec(ctx).map(n, [=] PEN_HD(index_t i) {
    const wide g = dy[i];
    dx[i] = static_cast<real>(x[i] > wide(0) ? g : s * g);
  });
}

template <class Exec, class real>
void elu_fwd(const Context& ctx, index_t n, const real* x, real* y) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = x[i] > real(0) ? x[i] : std::expm1(x[i]); });
}

template <class Exec, class real>
void elu_bwd(const Context& ctx, index_t n, const real* y, const real* dy, real* dx) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { dx[i] = y[i] > real(0) ? dy[i] : dy[i] * (y[i] + real(1)); });
}

template <class Exec, class real>
void sigmoid_fwd(const Context& ctx, index_t n, const real* x, real* y) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = sigmoid(x[i]); });
}

template <class Exec, class real>
void sigmoid_bwd(const Context& ctx, index_t n, const real* y, const real* dy, real* dx) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { dx[i] = dy[i] * y[i] * (real(1) - y[i]); });
}

template <class Exec, class real>
void tanh_fwd(const Context& ctx, index_t n, const real* x, real* y) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = std::tanh(x[i]); });
}

template <class Exec, class real>
void tanh_bwd(const Context& ctx, index_t n, const real* y, const real* dy, real* dx) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { dx[i] = dy[i] * (real(1) - y[i] * y[i]); });
}

template <class Exec, class real>
void abs_fwd(const Context& ctx, index_t n, const real* x, real* y) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = x[i] < real(0) ? -x[i] : x[i]; });
}

template <class Exec, class real>
void abs_bwd(const Context& ctx, index_t n, const real* x, const real* dy, real* dx) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { dx[i] = x[i] > real(0) ? dy[i] : (x[i] < real(0) ? -dy[i] : real(0)); });
}

template <class Exec, class real>
void square_fwd(const Context& ctx, index_t n, const real* x, real* y) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = x[i] * x[i]; });
}

template <class Exec, class real>
void square_bwd(const Context& ctx, index_t n, const real* x, const real* dy, real* dx) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { dx[i] = real(2) * x[i] * dy[i]; });
}

template <class Exec, class real>
void reciprocal_fwd(const Context& ctx, index_t n, const real* x, real* y) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = real(1) / x[i]; });
}

template <class Exec, class real>
void reciprocal_bwd(const Context& ctx, index_t n, const real* y, const real* dy, real* dx) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { dx[i] = -dy[i] * y[i] * y[i]; });
}

template <class Exec, class real>
void step_at(const Context& ctx, index_t n, double threshold, const real* x, real* y) {
  const real t = static_cast<real>(threshold);
  Exec(ctx).map(n, [=] PEN_HD(index_t i) { y[i] = x[i] > t ? real(1) : real(0); });
}

template <class Exec, class real>
void logistic_noise(const Context& ctx, index_t n, std::uint64_t seed, std::uint64_t stream, std::uint64_t first,
                    real* y) {
  Exec(ctx).map(n, [=] PEN_HD(index_t i) {
    const real u = static_cast<real>(philox_uniform(seed, stream, first + static_cast<std::uint64_t>(i)));
    y[i] = std::log(u + real(1e-8)) - std::log(real(1) - u + real(1e-8));
  });
}

template <class Exec, class real, class wide>
void sum_middle(const Context& ctx, index_t outer, index_t rows, index_t cols, double scale, const real* x, wide* y,
                Accum accum) {
  Exec(ctx).reduce_middle(
      outer, rows, cols,
      [=] PEN_HD(index_t o, index_t r, index_t c) { return static_cast<double>(x[(o * rows + r) * cols + c]); },
      [=] PEN_HD(index_t o, index_t c, double sum) { store(y, o * cols + c, scale * sum, accum); });
}

template <class Exec, class real, class wide>
void spread_middle(const Context& ctx, index_t outer, index_t rows, index_t cols, double scale, const wide* x,
                   real* y) {
  const wide s = static_cast<wide>(scale);
  Exec(ctx).grid(outer * rows, cols,
                 [=] PEN_HD(index_t r, index_t c) { y[r * cols + c] = static_cast<real>(s * x[r / rows * cols + c]); });
}

template <class Exec, class real>
void sum_columns(const Context& ctx, index_t rows, index_t cols, double scale, const real* x1, const real* x2,
                 real* y) {
  Exec(ctx).reduce(
      rows, cols,
      [=] PEN_HD(index_t r, index_t c) {
        const index_t i = r * cols + c;
        return x2 ? static_cast<double>(x1[i]) * static_cast<double>(x2[i]) : static_cast<double>(x1[i]);
      },
      [=] PEN_HD(index_t r, double sum) { y[r] = static_cast<real>(scale * sum); });
}

template <class Exec, class real>
void copy_columns(const Context& ctx, index_t rows, index_t cols, const real* x, index_t x_ld, index_t x_at, real* y,
                  index_t y_ld, index_t y_at, Accum accum) {
  if (accum == Accum::add) {
    Exec(ctx).grid(rows, cols, [=] PEN_HD(index_t r, index_t c) {
      const index_t i = r * y_ld + y_at + c;
      y[i] = static_cast<real>(static_cast<wide_t<real>>(y[i]) + x[r * x_ld + x_at + c]);
    });
  } else {
    Exec(ctx).grid(rows, cols, [=] PEN_HD(index_t r, index_t c) { y[r * y_ld + y_at + c] = x[r * x_ld + x_at + c]; });
  }
}

template <class Exec, class real>
void add_bias(const Context& ctx, const Rows& d, const real* x, const real* b, real* y) {
  const index_t n = d.c;
  Exec(ctx).grid(d.rows, n, [=] PEN_HD(index_t r, index_t c) { y[r * n + c] = x[r * n + c] + b[c]; });
}

template <class Exec, class real>
void nchw_to_nhwc(const Context& ctx, index_t n, index_t c, index_t h, index_t w, const real* x, real* y) {
  const index_t area = h * w;
  Exec(ctx).grid(n * area, c,
                 [=] PEN_HD(index_t r, index_t k) { y[r * c + k] = x[(r / area * c + k) * area + r % area]; });
}

template <class Exec, class real>
void nhwc_to_nchw(const Context& ctx, index_t n, index_t c, index_t h, index_t w, const real* x, real* y) {
  const index_t area = h * w;
  Exec(ctx).grid(n * c, area,
                 [=] PEN_HD(index_t r, index_t k) { y[r * area + k] = x[(r / c * area + k) * c + r % c]; });
}

template <class Exec, class real>
void embedding_fwd(const Context& ctx, index_t n, index_t classes, index_t width, const real* table,
                   const std::int64_t* ids, real* y) {
  Exec(ctx).grid(n, width, [=] PEN_HD(index_t r, index_t c) {
    const index_t id = ids[r];
    y[r * width + c] = id >= 0 && id < classes ? table[id * width + c] : static_cast<real>(NAN);
  });
}

template <class Exec, class real>
void embedding_bwd(const Context& ctx, index_t n, index_t classes, index_t width, const real* dy,
                   const std::int64_t* ids, real* dtable, Accum accum) {
  // Gather: each table entry looks for the images of its class, so that no two workers write the same place.
  Exec(ctx).grid(classes, width, [=] PEN_HD(index_t k, index_t c) {
    double sum = 0;
    for (index_t i = 0; i < n; ++i)
      if (ids[i] == k) sum += static_cast<double>(dy[i * width + c]);
    store(dtable, k * width + c, sum, accum);
  });
}

}  // namespace pen::kernels::shared
