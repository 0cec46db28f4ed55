// Pooling, each output gathered: a window's elements in row-major order on the way forward, the windows that read an
// element, in row-major order, on the way back.
#pragma once

#include "kernels/shared/math.inl"

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
  begin = at < k ? 0 : (at - k) / stride + 1;
  end = at / stride + 1;
  if (end > count) end = count;
}

template <class Exec, class real>
void max_pool_fwd(const Context& ctx, const Pool2d& d, const real* x, real* y, std::uint8_t* index) {
  Exec(ctx).grid(d.n * d.p * d.q, d.c, [=] PEN_HD(index_t o, index_t c) {
    const index_t top = o / d.q % d.p * d.stride - d.pad, left = o % d.q * d.stride - d.pad;
    const real* image = x + o / d.q / d.p * d.h * d.w * d.c + c;
    index_t i0, i1, j0, j1;
    window_places(top, d.k, d.h, i0, i1);
    window_places(left, d.k, d.w, j0, j1);
    real best = 0;
    index_t where = -1;
    for (index_t i = i0; i < i1; ++i)
      for (index_t j = j0; j < j1; ++j) {
        const real v = image[((top + i) * d.w + left + j) * d.c];
        // The first of equals stays; the first NaN wins.
        if (where < 0 || v > best || (v != v && best == best)) {
          best = v;
          where = i * d.k + j;
        }
      }
    y[o * d.c + c] = best;
    if (index) index[o * d.c + c] = static_cast<std::uint8_t>(where < 0 ? 0 : where);
  });
}

template <class Exec, class real>
void max_pool_bwd(const Context& ctx, const Pool2d& d, const real* dy, const std::uint8_t* index, real* dx) {
  Exec(ctx).grid(d.n * d.h * d.w, d.c, [=] PEN_HD(index_t i, index_t c) {
    const index_t w = i % d.w, h = i / d.w % d.h, n = i / d.w / d.h;
    index_t p0, p1, q0, q1;
    window_readers(h, d.k, d.stride, d.pad, d.p, p0, p1);
    window_readers(w, d.k, d.stride, d.pad, d.q, q0, q1);
    wide_t<real> sum = 0;
    for (index_t p = p0; p < p1; ++p)
      for (index_t q = q0; q < q1; ++q) {
        const index_t o = ((n * d.p + p) * d.q + q) * d.c + c;
        const index_t place = (h - p * d.stride + d.pad) * d.k + w - q * d.stride + d.pad;
        if (index[o] == place) sum += dy[o];
      }
    dx[i * d.c + c] = static_cast<real>(sum);
  });
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
