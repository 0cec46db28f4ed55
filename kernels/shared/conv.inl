// Convolution without a library, and what stands around one. The sums are plain (slow), in double, in a fixed order:
// CUDA runs double on them, and the others where cuDNN has no engine. Weights are K,C/groups,R,S.
#pragma once

#include "kernels/shared/math.inl"
#include "kernels/shared/pack.h"

namespace pen::kernels::shared {

template <class Exec, class real, class sums>
void conv2d_fwd(const Context& ctx, const Conv2d& d, const real* x, const real* w, const real* b, sums* y) {
  Exec(ctx).grid(d.n * d.p * d.q, d.k, [=] PEN_HD(index_t o, index_t k) {
    const index_t q = o % d.q, p = o / d.q % d.p, n = o / d.q / d.p;
    const index_t cg = d.c / d.groups, first = k / (d.k / d.groups) * cg;
    double sum = b ? static_cast<double>(b[k]) : 0.0;
    for (index_t r = 0; r < d.r; ++r) {
      const index_t h = p * d.stride - d.pad + r * d.dilation;
      if (h < 0 || h >= d.h) continue;
      for (index_t s = 0; s < d.s; ++s) {
        const index_t v = q * d.stride - d.pad + s * d.dilation;
        if (v < 0 || v >= d.w) continue;
        const real* from = x + ((n * d.h + h) * d.w + v) * d.c + first;
        for (index_t c = 0; c < cg; ++c)
          sum += static_cast<double>(from[c]) * static_cast<double>(w[((k * cg + c) * d.r + r) * d.s + s]);
      }
    }
    y[o * d.k + k] = static_cast<sums>(sum);
  });
}

template <class Exec, class real, class sums>
void conv2d_bwd_data(const Context& ctx, const Conv2d& d, const real* dy, const real* w, sums* dx) {
  Exec(ctx).grid(d.n * d.h * d.w, d.c, [=] PEN_HD(index_t i, index_t c) {
    const index_t v = i % d.w, h = i / d.w % d.h, n = i / d.w / d.h;
    const index_t cg = d.c / d.groups, kg = d.k / d.groups, first = c / cg * kg;
    double sum = 0;
    for (index_t r = 0; r < d.r; ++r) {
      const index_t p = h + d.pad - r * d.dilation;
      if (p < 0 || p % d.stride != 0 || p / d.stride >= d.p) continue;
      for (index_t s = 0; s < d.s; ++s) {
        const index_t q = v + d.pad - s * d.dilation;
        if (q < 0 || q % d.stride != 0 || q / d.stride >= d.q) continue;
        const real* from = dy + ((n * d.p + p / d.stride) * d.q + q / d.stride) * d.k + first;
        for (index_t k = 0; k < kg; ++k)
          sum +=
              static_cast<double>(from[k]) * static_cast<double>(w[(((first + k) * cg + c % cg) * d.r + r) * d.s + s]);
      }
    }
    dx[i * d.c + c] = static_cast<sums>(sum);
  });
}

template <class Exec, class real>
void conv2d_bwd_weight(const Context& ctx, const Conv2d& d, const real* x, const real* dy, wide_t<real>* dw,
                       Accum accum) {
  const index_t cg = d.c / d.groups, kg = d.k / d.groups;
  Exec(ctx).reduce(
      d.k * cg * d.r * d.s, d.n * d.p * d.q,
      [=] PEN_HD(index_t i, index_t o) {
        const index_t s = i % d.s, r = i / d.s % d.r, c = i / d.s / d.r % cg, k = i / d.s / d.r / cg;
        const index_t h = o / d.q % d.p * d.stride - d.pad + r * d.dilation;
        const index_t v = o % d.q * d.stride - d.pad + s * d.dilation;
        if (h < 0 || h >= d.h || v < 0 || v >= d.w) return 0.0;
        return static_cast<double>(x[((o / d.q / d.p * d.h + h) * d.w + v) * d.c + k / kg * cg + c]) *
               static_cast<double>(dy[o * d.k + k]);
      },
      [=] PEN_HD(index_t i, double sum) { store(dw, i, sum, accum); });
}

// y = act(sums + b + residual), in the wide type and rounded once, act = ReLU of this slope if `relu`; b (K) and
// residual may be null, y may be either input. positive, if wanted: a bit for each element, 1 where y > 0. A worker has
// the eight elements of a byte.
template <class real, class Sums>
struct ConvEpilogue {
  index_t k;
  wide_t<real> keep;
  const Sums* sums;
  const wide_t<real>* b;
  const real* residual;
  bool relu;
  real* y;
  std::uint8_t* positive;

  // Whole eights do not begin in one row and end in another.
  PEN_HD Pack<wide_t<real>, 8> biases(index_t first, Whole) const { return read_pack<8>(b + remainder_of(first, k)); }
  PEN_HD Pack<wide_t<real>, 8> biases(index_t first, Part part) const {
    Pack<wide_t<real>, 8> found;
    for (int j = 0; j < 8; ++j) found.at[j] = j < part ? b[(first + j) % k] : wide_t<real>(0);
    return found;
  }

  template <class Count>
  PEN_HD void operator()(index_t first, Count count) const {
    using wide = wide_t<real>;
    const auto from = read_eight(count, sums + first);
    wide v[8];
    for (int j = 0; j < 8; ++j) v[j] = static_cast<wide>(from.at[j]);
    if (b) {
      const auto bias = biases(first, count);
      for (int j = 0; j < 8; ++j) v[j] += bias.at[j];
    }
    if (residual) {
      const auto other = read_eight(count, residual + first);
      for (int j = 0; j < 8; ++j) v[j] += other.at[j];
    }
    Pack<real, 8> to;
    unsigned byte = 0;
    for (int j = 0; j < 8; ++j) {
      to.at[j] = static_cast<real>(relu ? rectified(v[j], keep) : v[j]);
      if (j < count && to.at[j] > wide(0)) byte |= 1u << j;
    }
    write_eight(count, y + first, to);
    if (positive) positive[first / 8] = static_cast<std::uint8_t>(byte);
  }
};
template <class Exec, class real, class Sums>
void conv_epilogue(const Context& ctx, index_t rows, index_t k, double slope, const Sums* sums, const wide_t<real>* b,
                   const real* residual, bool relu, real* y, std::uint8_t* positive) {
  Exec(ctx).eights(rows * k, (!b || k % 8 == 0) && aligned(sums, b, residual, y),
                   ConvEpilogue<real, Sums>{k, static_cast<wide_t<real>>(slope), sums, b, residual, relu, y, positive});
}

// dx = sums + residual where open, a bit for each element, is 1, else `slope` of it; residual and open may be null, dx
// may be either input.
template <class real, class Sums>
struct AddAndGate {
  wide_t<real> keep;
  const Sums* sums;
  const real* residual;
  const std::uint8_t* open;
  real* dx;

  template <class Count>
  PEN_HD void operator()(index_t first, Count count) const {
    using wide = wide_t<real>;
    const auto from = read_eight(count, sums + first);
    wide v[8];
    for (int j = 0; j < 8; ++j) v[j] = static_cast<wide>(from.at[j]);
    if (residual) {
      const auto other = read_eight(count, residual + first);
      for (int j = 0; j < 8; ++j) v[j] += other.at[j];
    }
    const unsigned byte = open ? open[first / 8] : 0xff;
    Pack<real, 8> to;
    for (int j = 0; j < 8; ++j) to.at[j] = static_cast<real>(gated(v[j], byte >> j & 1, keep));
    write_eight(count, dx + first, to);
  }
};
template <class Exec, class real, class Sums>
void add_and_gate(const Context& ctx, index_t n, double slope, const Sums* sums, const real* residual,
                  const std::uint8_t* open, real* dx) {
  Exec(ctx).eights(n, aligned(sums, residual, dx),
                   AddAndGate<real, Sums>{static_cast<wide_t<real>>(slope), sums, residual, open, dx});
}

// dm = sum over channels and a cell's pixels of x * (the data gradient of dy_in - dy_out), see kernels.def.
template <class Exec, class real>
void conv2d_bwd_mask(const Context& ctx, const Conv2d& d, index_t scale, const real* dy_in, const real* dy_out,
                     const real* w, const wide_t<real>* x, wide_t<real>* dm) {
  const MaskCells cells{d.n * (d.h / scale), d.w / scale, scale};
  Exec(ctx).map(cells.rows * cells.w, [=] PEN_HD(index_t cell) {
    double sum = 0;
    each_pixel(cells, cell, [&](index_t i) {
      const index_t v = i % d.w, h = i / d.w % d.h, n = i / d.w / d.h;
      for (index_t r = 0; r < d.r; ++r) {
        const index_t p = h + d.pad - r * d.dilation;
        if (p < 0 || p % d.stride != 0 || p / d.stride >= d.p) continue;
        for (index_t s = 0; s < d.s; ++s) {
          const index_t q = v + d.pad - s * d.dilation;
          if (q < 0 || q % d.stride != 0 || q / d.stride >= d.q) continue;
          const index_t at = ((n * d.p + p / d.stride) * d.q + q / d.stride) * d.k;
          for (index_t k = 0; k < d.k; ++k) {
            double seen = 0;  // what channel k saw of this pixel
            for (index_t c = 0; c < d.c; ++c)
              seen += static_cast<double>(x[i * d.c + c]) * static_cast<double>(w[((k * d.c + c) * d.r + r) * d.s + s]);
            sum += seen * (static_cast<double>(dy_in[at + k]) - static_cast<double>(dy_out[at + k]));
          }
        }
      }
    });
    dm[cell] = static_cast<wide_t<real>>(sum);
  });
}

// dm = sum over channels and a cell's pixels of x dx, where dx is the data gradient of dy_in - dy_out: the same from a
// library's convolution.
template <class Exec, class real>
void mask_of_data(const Context& ctx, const MaskCells& d, index_t c, const wide_t<real>* x, const real* dx,
                  wide_t<real>* dm) {
  Exec(ctx).map(d.rows * d.w, [=] PEN_HD(index_t cell) {
    wide_t<real> sum = 0;
    each_pixel(d, cell, [&](index_t pixel) {
      for (index_t k = pixel * c; k < (pixel + 1) * c; ++k) sum += x[k] * static_cast<wide_t<real>>(dx[k]);
    });
    dm[cell] = sum;
  });
}

// Weights K,C,area <-> K,area,C, which cuDNN wants beside N,H,W,C activations.
template <class Exec, class real>
void weights_channels_last(const Context& ctx, index_t k, index_t c, index_t area, const real* w, real* out) {
  Exec(ctx).grid(k * area, c, [=] PEN_HD(index_t row, index_t i) {
    out[row * c + i] = w[(row / area * c + i) * area + row % area];
  });
}
template <class Exec, class real>
void weights_channels_first(const Context& ctx, index_t k, index_t c, index_t area, const real* w, wide_t<real>* out,
                            Accum accum) {
  Exec(ctx).grid(k * c, area, [=] PEN_HD(index_t row, index_t i) {
    store(out, row * area + i, static_cast<double>(w[(row / c * area + i) * c + row % c]), accum);
  });
}

}  // namespace pen::kernels::shared
