// Nearest and bilinear resizing; the backward passes gather, so that each input pixel has one owner.
#pragma once

#include "kernels/shared/math.inl"
#include "kernels/shared/pack.h"

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

template <class real>
struct BilinearForward {
  Resize2d d;
  const real* x;
  real* y;

  template <int W>
  struct Columns {
    const BilinearForward& f;
    index_t c;
    PEN_HD void operator()(index_t r) const {
      const Resize2d& d = f.d;
      const index_t row = quotient(r, d.q), n = quotient(row, d.p);
      const BilinearTap<real> a = bilinear_tap<real>(row - n * d.p, d.h, d.p, d.align_corners);
      const BilinearTap<real> b = bilinear_tap<real>(r - row * d.q, d.w, d.q, d.align_corners);
      const real* const row0 = f.x + (n * d.h + a.i0) * d.w * d.c + c;
      const real* const row1 = f.x + (n * d.h + a.i1) * d.w * d.c + c;
      const auto x00 = read_pack<W>(row0 + b.i0 * d.c), x01 = read_pack<W>(row0 + b.i1 * d.c);
      const auto x10 = read_pack<W>(row1 + b.i0 * d.c), x11 = read_pack<W>(row1 + b.i1 * d.c);
      Pack<real, W> to;
      for (int l = 0; l < W; ++l)
        to.at[l] = a.w0 * (b.w0 * x00.at[l] + b.w1 * x01.at[l]) + a.w1 * (b.w0 * x10.at[l] + b.w1 * x11.at[l]);
      write_pack(f.y + r * d.c + c, to);
    }
  };
  template <int W>
  PEN_HD Columns<W> at(index_t c) const {
    return {*this, c};
  }
};
template <class Exec, class real>
void resize_bilinear_fwd(const Context& ctx, const Resize2d& d, const real* x, real* y) {
  Exec(ctx).columns(d.n * d.p * d.q, d.c, aligned(x, y), BilinearForward<real>{d, x, y});
}

template <class real>
struct BilinearBackward {
  Resize2d d;
  const real* dy;
  real* dx;

  template <int W>
  struct Columns {
    const BilinearBackward& f;
    index_t c;
    PEN_HD void operator()(index_t r) const {
      const Resize2d& d = f.d;
      const index_t row = quotient(r, d.w), n = quotient(row, d.h), h = row - n * d.h, w = r - row * d.w;
      index_t p0, p1, q0, q1;
      bilinear_readers(h, d.h, d.p, d.align_corners, p0, p1);
      bilinear_readers(w, d.w, d.q, d.align_corners, q0, q1);
      Pack<real, W> sum{};
      for (index_t p = p0; p < p1; ++p) {
        const BilinearTap<real> a = bilinear_tap<real>(p, d.h, d.p, d.align_corners);
        const real wa = (a.i0 == h ? a.w0 : real(0)) + (a.i1 == h ? a.w1 : real(0));
        if (wa == real(0)) continue;
        Pack<real, W> line{};
        for (index_t q = q0; q < q1; ++q) {
          const BilinearTap<real> b = bilinear_tap<real>(q, d.w, d.q, d.align_corners);
          const real wb = (b.i0 == w ? b.w0 : real(0)) + (b.i1 == w ? b.w1 : real(0));
          const auto from = read_pack<W>(f.dy + ((n * d.p + p) * d.q + q) * d.c + c);
          for (int l = 0; l < W; ++l) line.at[l] += wb * from.at[l];
        }
        for (int l = 0; l < W; ++l) sum.at[l] += wa * line.at[l];
      }
      write_pack(f.dx + r * d.c + c, sum);
    }
  };
  template <int W>
  PEN_HD Columns<W> at(index_t c) const {
    return {*this, c};
  }
};
template <class Exec, class real>
void resize_bilinear_bwd(const Context& ctx, const Resize2d& d, const real* dy, real* dx) {
  Exec(ctx).columns(d.n * d.h * d.w, d.c, aligned(dy, dx), BilinearBackward<real>{d, dy, dx});
}

}  // namespace pen::kernels::shared
