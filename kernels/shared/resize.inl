// Nearest and bilinear resizing; the backward passes gather, so that each input pixel has one owner.
#pragma once

#include "kernels/shared/math.inl"

namespace pen::kernels::shared {

template <class Exec, class real>
void resize_nearest_fwd(const Context& ctx, const Resize2d& d, const real* x, real* y) {
  Exec(ctx).grid(d.n * d.p * d.q, d.c, [=] PEN_HD(index_t r, index_t c) {
    const index_t q = r % d.q, p = r / d.q % d.p, n = r / d.q / d.p;
    const index_t h = nearest_source(p, d.h, d.p), w = nearest_source(q, d.w, d.q);
    y[r * d.c + c] = x[((n * d.h + h) * d.w + w) * d.c + c];
  });
}

template <class Exec, class real>
void resize_nearest_bwd(const Context& ctx, const Resize2d& d, const real* dy, real* dx) {
  Exec(ctx).grid(d.n * d.h * d.w, d.c, [=] PEN_HD(index_t r, index_t c) {
    const index_t w = r % d.w, h = r / d.w % d.h, n = r / d.w / d.h;
    index_t p0, p1, q0, q1;
    nearest_readers(h, d.h, d.p, p0, p1);
    nearest_readers(w, d.w, d.q, q0, q1);
    real sum = 0;
    for (index_t p = p0; p < p1; ++p) {
      if (nearest_source(p, d.h, d.p) != h) continue;
      for (index_t q = q0; q < q1; ++q)
        if (nearest_source(q, d.w, d.q) == w) sum += dy[((n * d.p + p) * d.q + q) * d.c + c];
    }
    dx[r * d.c + c] = sum;
  });
}

template <class Exec, class real>
void resize_bilinear_fwd(const Context& ctx, const Resize2d& d, const real* x, real* y) {
  Exec(ctx).grid(d.n * d.p * d.q, d.c, [=] PEN_HD(index_t r, index_t c) {
    const index_t q = r % d.q, p = r / d.q % d.p, n = r / d.q / d.p;
    const BilinearTap<real> a = bilinear_tap<real>(p, d.h, d.p, d.align_corners);
    const BilinearTap<real> b = bilinear_tap<real>(q, d.w, d.q, d.align_corners);
    const real* row0 = x + (n * d.h + a.i0) * d.w * d.c + c;
    const real* row1 = x + (n * d.h + a.i1) * d.w * d.c + c;
    y[r * d.c + c] = a.w0 * (b.w0 * row0[b.i0 * d.c] + b.w1 * row0[b.i1 * d.c]) +
                     a.w1 * (b.w0 * row1[b.i0 * d.c] + b.w1 * row1[b.i1 * d.c]);
  });
}

template <class Exec, class real>
void resize_bilinear_bwd(const Context& ctx, const Resize2d& d, const real* dy, real* dx) {
  Exec(ctx).grid(d.n * d.h * d.w, d.c, [=] PEN_HD(index_t r, index_t c) {
    const index_t w = r % d.w, h = r / d.w % d.h, n = r / d.w / d.h;
    index_t p0, p1, q0, q1;
    bilinear_readers(h, d.h, d.p, d.align_corners, p0, p1);
    bilinear_readers(w, d.w, d.q, d.align_corners, q0, q1);
    real sum = 0;
    for (index_t p = p0; p < p1; ++p) {
      const BilinearTap<real> a = bilinear_tap<real>(p, d.h, d.p, d.align_corners);
      const real wa = (a.i0 == h ? a.w0 : real(0)) + (a.i1 == h ? a.w1 : real(0));
      if (wa == real(0)) continue;
      real line = 0;
      for (index_t q = q0; q < q1; ++q) {
        const BilinearTap<real> b = bilinear_tap<real>(q, d.w, d.q, d.align_corners);
        const real wb = (b.i0 == w ? b.w0 : real(0)) + (b.i1 == w ? b.w1 : real(0));
        line += wb * dy[((n * d.p + p) * d.q + q) * d.c + c];
      }
      sum += wa * line;
    }
    dx[r * d.c + c] = sum;
  });
}

}  // namespace pen::kernels::shared
