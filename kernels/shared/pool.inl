// Pooling, each output gathered: a window's elements in row-major order on the way forward, the windows that read an
// element, in row-major order, on the way back.
#pragma once

#include "kernels/shared/math.inl"
#include "kernels/shared/pack.h"

namespace pen::kernels::shared {

// Along one axis: the places [begin, end) of a window whose first element is `first`, cut at 0 and `size`; relative to
// `first`.
PEN_HD inline void window_places(index_t first, index_t k, index_t size, index_t& begin, index_t& end) {
  begin = first < 0 ? -first : 0;
  end = first + k > size ? size - first : k;
}

// Along one axis: the windows [begin, end) of `count` that read element i.
PEN_HD inline void window_readers(index_t i, index_t k, index_t stride, index_t pad, index_t count, index_t& begin,
                                  index_t& end) {
  const index_t at = i + pad;
  begin = at < k ? 0 : quotient(at - k, stride) + 1;
  end = quotient(at, stride) + 1;
  if (end > count) end = count;
}

template <class real>
struct MaxPoolForward {
  Pool2d d;
  const real* x;
  real* y;
  std::uint8_t* index;

  template <int W>
  struct Columns {
    const MaxPoolForward& f;
    index_t c;
    PEN_HD void operator()(index_t o) const {
      const Pool2d& d = f.d;
      const index_t row = quotient(o, d.q), n = quotient(row, d.p);
      const index_t top = (row - n * d.p) * d.stride - d.pad, left = (o - row * d.q) * d.stride - d.pad;
      const real* const image = f.x + n * d.h * d.w * d.c + c;
      index_t i0, i1, j0, j1;
      window_places(top, d.k, d.h, i0, i1);
      window_places(left, d.k, d.w, j0, j1);
      Pack<real, W> best;
      int where[W];
      for (int l = 0; l < W; ++l) best.at[l] = real(0), where[l] = -1;
      for (index_t i = i0; i < i1; ++i)
        for (index_t j = j0; j < j1; ++j) {
          const auto from = read_pack<W>(image + ((top + i) * d.w + left + j) * d.c);
          const int place = static_cast<int>(i * d.k + j);
          for (int l = 0; l < W; ++l) {
            const wide_t<real> v = from.at[l], b = best.at[l];
            // The first of equals stays; the first NaN wins.
            if (where[l] < 0 || v > b || (v != v && b == b)) {
              best.at[l] = from.at[l];
              where[l] = place;
            }
          }
        }
      write_pack(f.y + o * d.c + c, best);
      if (!f.index) return;
      Pack<std::uint8_t, W> winner;
      for (int l = 0; l < W; ++l) winner.at[l] = static_cast<std::uint8_t>(where[l] < 0 ? 0 : where[l]);
      write_pack(f.index + o * d.c + c, winner);
    }
  };
  template <int W>
  PEN_HD Columns<W> at(index_t c) const {
    return {*this, c};
  }
};
template <class Exec, class real>
void max_pool_fwd(const Context& ctx, const Pool2d& d, const real* x, real* y, std::uint8_t* index) {
  Exec(ctx).columns(d.n * d.p * d.q, d.c, aligned(x, y, index), MaxPoolForward<real>{d, x, y, index});
}

template <class real>
struct MaxPoolBackward {
  Pool2d d;
  const real* dy;
  const std::uint8_t* index;
  real* dx;

  template <int W>
  struct Columns {
    const MaxPoolBackward& f;
    index_t c;
    PEN_HD void operator()(index_t i) const {
      const Pool2d& d = f.d;
      const index_t row = quotient(i, d.w), n = quotient(row, d.h), h = row - n * d.h, w = i - row * d.w;
      index_t p0, p1, q0, q1;
      window_readers(h, d.k, d.stride, d.pad, d.p, p0, p1);
      window_readers(w, d.k, d.stride, d.pad, d.q, q0, q1);
      wide_t<real> sum[W] = {};
      for (index_t p = p0; p < p1; ++p)
        for (index_t q = q0; q < q1; ++q) {
          const index_t o = ((n * d.p + p) * d.q + q) * d.c + c;
          const int place = static_cast<int>((h - p * d.stride + d.pad) * d.k + w - q * d.stride + d.pad);
          const auto winner = read_pack<W>(f.index + o);
          const auto from = read_pack<W>(f.dy + o);
          for (int l = 0; l < W; ++l)
            if (winner.at[l] == place) sum[l] += from.at[l];
        }
      Pack<real, W> to;
      for (int l = 0; l < W; ++l) to.at[l] = static_cast<real>(sum[l]);
      write_pack(f.dx + i * d.c + c, to);
    }
  };
  template <int W>
  PEN_HD Columns<W> at(index_t c) const {
    return {*this, c};
  }
};
template <class Exec, class real>
void max_pool_bwd(const Context& ctx, const Pool2d& d, const real* dy, const std::uint8_t* index, real* dx) {
  Exec(ctx).columns(d.n * d.h * d.w, d.c, aligned(dy, index, dx), MaxPoolBackward<real>{d, dy, index, dx});
}

template <class Exec, class real>
void avg_pool_fwd(const Context& ctx, const Pool2d& d, const real* x, real* y) {
  Exec(ctx).grid(d.n * d.p * d.q, d.c, [=] PEN_HD(index_t o, index_t c) {
    const index_t top = o / d.q % d.p * d.stride - d.pad, left = o % d.q * d.stride - d.pad;
    const real* image = x + o / d.q / d.p * d.h * d.w * d.c + c;
    index_t i0, i1, j0, j1;
    window_places(top, d.k, d.h, i0, i1);
    window_places(left, d.k, d.w, j0, j1);
    double sum = 0;
    for (index_t i = i0; i < i1; ++i)
      for (index_t j = j0; j < j1; ++j) sum += static_cast<double>(image[((top + i) * d.w + left + j) * d.c]);
    y[o * d.c + c] = static_cast<real>(sum / static_cast<double>((i1 - i0) * (j1 - j0)));
  });
}

template <class Exec, class real>
void avg_pool_bwd(const Context& ctx, const Pool2d& d, const real* dy, real* dx) {
  Exec(ctx).grid(d.n * d.h * d.w, d.c, [=] PEN_HD(index_t i, index_t c) {
    const index_t w = i % d.w, h = i / d.w % d.h, n = i / d.w / d.h;
    index_t p0, p1, q0, q1;
    window_readers(h, d.k, d.stride, d.pad, d.p, p0, p1);
    window_readers(w, d.k, d.stride, d.pad, d.q, q0, q1);
    real sum = 0;
    for (index_t p = p0; p < p1; ++p)
      for (index_t q = q0; q < q1; ++q) {
        index_t i0, i1, j0, j1;
        window_places(p * d.stride - d.pad, d.k, d.h, i0, i1);
        window_places(q * d.stride - d.pad, d.k, d.w, j0, j1);
        sum += dy[((n * d.p + p) * d.q + q) * d.c + c] / static_cast<real>((i1 - i0) * (j1 - j0));
      }
    dx[i * d.c + c] = sum;
  });
}

}  // namespace pen::kernels::shared
