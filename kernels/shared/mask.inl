// Soft masks: mixing, total variation, logged statistics.
#pragma once

#include "kernels/shared/math.inl"

namespace pen::kernels::shared {

template <class Exec, class real>
void mask_mix_fwd(const Context& ctx, const MaskCells& d, index_t c, Side side, const real* x, const real* m,
                  const real* filling, real* y) {
  const bool in = side == Side::in;
  const index_t run = d.scale * c;
  Exec(ctx).grid(d.rows * d.scale * d.w, run, [=] PEN_HD(index_t r, index_t k) {
    const index_t i = r * run + k;
    const real seen = m[cell_of_run(d, r)];
    const real kept = in ? seen : real(1) - seen;
    y[i] = filling ? mix(x[i], filling[i], kept) : kept * x[i];
  });
}

template <class Exec, class real>
void mask_mix_bwd(const Context& ctx, const MaskCells& d, index_t c, Side side, const real* x, const real* m,
                  const real* filling, const real* dy, real* dx, real* dm, real* dfilling) {
  const bool in = side == Side::in;
  Exec(ctx).map(d.rows * d.w, [=] PEN_HD(index_t r) {
    const real kept = in ? m[r] : real(1) - m[r];
    real sum = 0;
    each_pixel(d, r, [&](index_t pixel) {
      for (index_t i = pixel * c; i < (pixel + 1) * c; ++i) {
        sum += dy[i] * (filling ? x[i] - filling[i] : x[i]);
        if (dx) dx[i] = kept * dy[i];
        if (dfilling) dfilling[i] = (real(1) - kept) * dy[i];
      }
    });
    if (dm) dm[r] = in ? sum : -sum;
  });
}

template <class Exec, class real>
void total_variation_fwd(const Context& ctx, index_t n, index_t h, index_t w, double border, const real* m, real* y) {
  Exec(ctx).reduce(
      n, h * w,
      [=] PEN_HD(index_t r, index_t i) {
        const real* image = m + r * h * w;
        const index_t row = i / w, col = i % w;
        const double v = image[i];
        double sum = 0;
        if (row + 1 < h) sum += (static_cast<double>(image[i + w]) - v) * (static_cast<double>(image[i + w]) - v);
        if (col + 1 < w) sum += (static_cast<double>(image[i + 1]) - v) * (static_cast<double>(image[i + 1]) - v);
        const int borders = (row == 0) + (row == h - 1) + (col == 0) + (col == w - 1);
        return sum + border * borders * v * v;
      },
      [=] PEN_HD(index_t r, double sum) { y[r] = static_cast<real>(sum); });
}

template <class Exec, class real>
void total_variation_bwd(const Context& ctx, index_t n, index_t h, index_t w, double border, const real* m,
                         const real* dy, real* dm) {
  const real b = static_cast<real>(border);
  Exec(ctx).grid(n * h, w, [=] PEN_HD(index_t r, index_t col) {
    const index_t row = r % h, i = r * w + col;
    const real v = m[i];
    real g = 0;
    if (row > 0) g += v - m[i - w];
    if (row + 1 < h) g += v - m[i + w];
    if (col > 0) g += v - m[i - 1];
    if (col + 1 < w) g += v - m[i + 1];
    g += b * v * real((row == 0) + (row == h - 1) + (col == 0) + (col == w - 1));
    dm[i] = real(2) * g * dy[r / h];
  });
}

template <class Exec, class real>
void mask_statistics(const Context& ctx, index_t n, index_t h, index_t w, index_t scale, const real* m, real* y) {
  const Exec exec(ctx);
  const index_t area = h * w;
  exec.reduce(
      n, area, [=] PEN_HD(index_t r, index_t i) { return static_cast<double>(m[r * area + i]); },
      [=] PEN_HD(index_t r, double sum) { y[3 * r] = static_cast<real>(sum / double(area)); });
  exec.reduce(
      n, area,
      [=] PEN_HD(index_t r, index_t i) {
        const double v = m[r * area + i];
        return v > 0 && v < 1 ? -v * std::log2(v) : 0.0;
      },
      [=] PEN_HD(index_t r, double sum) { y[3 * r + 1] = static_cast<real>(sum / double(area)); });
  // Of the pixels' differences those inside of a cell are zero and those between two cells occur `scale` times.
  const double vertical = h > 1 ? 1.0 / double((h * scale - 1) * w) : 0.0,
               horizontal = w > 1 ? 1.0 / double(h * (w * scale - 1)) : 0.0;
  exec.reduce(
      n, area,
      [=] PEN_HD(index_t r, index_t i) {
        const real* image = m + r * area;
        const double v = image[i];
        double sum = 0;
        if (i / w + 1 < h)
          sum += vertical * (static_cast<double>(image[i + w]) - v) * (static_cast<double>(image[i + w]) - v);
        if (i % w + 1 < w)
          sum += horizontal * (static_cast<double>(image[i + 1]) - v) * (static_cast<double>(image[i + 1]) - v);
        return sum;
      },
      [=] PEN_HD(index_t r, double sum) { y[3 * r + 2] = static_cast<real>(sum); });
}

}  // namespace pen::kernels::shared
