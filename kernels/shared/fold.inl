// Convolutions of stride 2 over few channels as convolutions of stride 1 over 16, for which libraries have fast engines
// (they pad three channels to eight, and are slow). Each 2x2 block of the padded image becomes one pixel of a folded
// image: with v = 2 i + a the place in the padded image (v = u + pad, u the pixel), x'(n, i, j) has at channel
// (2 a + b) c + ch what x has at (2 i + a - pad, 2 j + b - pad, ch), or zero where that is no pixel or no channel.
// Weights fold the same way, with zeros behind r and s: y[p] = sum over i of x'[p + i] w'[i]. The same products and, in
// another order, the same sums. (What is not finite reaches also windows that only touch its block: their zero times
// it.) Folded weights are K,R,S,16, the layout that cuDNN wants; plain ones K,C,R,S.
#pragma once

#include "kernels/shared/math.inl"

namespace pen::kernels::shared {

constexpr index_t folded_channels = 16;

inline bool folds(const Conv2d& d) {
  return d.stride == 2 && d.dilation == 1 && d.groups == 1 && d.c >= 1 && 4 * d.c <= folded_channels && d.r >= 3 &&
         d.s >= 3;
}

// The convolution of the folded image; its h and w are all that its windows see.
inline Conv2d folded(Conv2d d) {
  d.r = (d.r + 1) / 2, d.s = (d.s + 1) / 2;
  d.h = d.p + d.r - 1, d.w = d.q + d.s - 1, d.c = folded_channels;
  d.stride = 1, d.pad = 0;
  return d;
}

// The first of the channels that a row and a column, of the padded image or of a kernel, have in their folded pixel.
PEN_HD inline index_t folded_channel(index_t row, index_t col, index_t c) { return (row % 2 * 2 + col % 2) * c; }

// One pixel of a folded image or kernel: in 16 bit two stores of 16 bytes.
template <class real>
struct alignas(16) FoldedPixel {
  real channels[folded_channels];
};

// fold_pixels where c channels are known to the compiler, so that a pixel stays in registers.
template <class Exec, index_t c, class real>
void fold_channels(const Context& ctx, const Conv2d& d, const real* x, FoldedPixel<real>* out) {
  const Conv2d to = folded(d);
  Exec(ctx).map(to.n * to.h * to.w, [=] PEN_HD(index_t o) {
    const index_t row = quotient(o, to.w), n = quotient(row, to.h);
    const index_t top = 2 * (row - n * to.h) - d.pad, left = 2 * (o - row * to.w) - d.pad;
    FoldedPixel<real> pixel{};
    for (index_t a = 0; a < 2; ++a)
      for (index_t b = 0; b < 2; ++b) {
        const index_t h = top + a, w = left + b;
        if (h < 0 || h >= d.h || w < 0 || w >= d.w) continue;
        const real* from = x + ((n * d.h + h) * d.w + w) * c;
        for (index_t ch = 0; ch < c; ++ch) pixel.channels[folded_channel(a, b, c) + ch] = from[ch];
      }
    out[o] = pixel;
  });
}

// x (N,H,W,C) of d, which folds(), to the folded image (N,H',W',16) of folded(d). out lies at a multiple of 16 bytes.
template <class Exec, class real>
void fold_pixels(const Context& ctx, const Conv2d& d, const real* x, real* out) {
  auto* const pixels = reinterpret_cast<FoldedPixel<real>*>(out);
  if (d.c == 1) fold_channels<Exec, 1>(ctx, d, x, pixels);
  if (d.c == 2) fold_channels<Exec, 2>(ctx, d, x, pixels);
  if (d.c == 3) fold_channels<Exec, 3>(ctx, d, x, pixels);
  if (d.c == 4) fold_channels<Exec, 4>(ctx, d, x, pixels);
}

// w (K,C,R,S) of d to folded weights (K,R',S',16). out lies at a multiple of 16 bytes.
template <class Exec, class real>
void fold_weights(const Context& ctx, const Conv2d& d, const real* w, real* out) {
  const Conv2d to = folded(d);
  auto* const pixels = reinterpret_cast<FoldedPixel<real>*>(out);
  Exec(ctx).map(to.k * to.r * to.s, [=] PEN_HD(index_t o) {
    const index_t k = o / to.s / to.r, top = o / to.s % to.r * 2, left = o % to.s * 2;
    FoldedPixel<real> pixel{};
    for (index_t r = top; r < top + 2 && r < d.r; ++r)
      for (index_t s = left; s < left + 2 && s < d.s; ++s)
        for (index_t ch = 0; ch < d.c; ++ch)
          pixel.channels[folded_channel(r, s, d.c) + ch] = w[((k * d.c + ch) * d.r + r) * d.s + s];
    pixels[o] = pixel;
  });
}

// The gradient of folded weights (K,R',S',16) back to that of d's (K,C,R,S).
template <class Exec, class real>
void unfold_weights(const Context& ctx, const Conv2d& d, const real* from, wide_t<real>* dw, Accum accum) {
  const Conv2d to = folded(d);
  Exec(ctx).grid(d.k * d.c, d.r * d.s, [=] PEN_HD(index_t row, index_t i) {
    const index_t k = row / d.c, r = i / d.s, s = i % d.s;
    const index_t at = ((k * to.r + r / 2) * to.s + s / 2) * folded_channels + folded_channel(r, s, d.c);
    store(dw, row * d.r * d.s + i, static_cast<double>(from[at + row % d.c]), accum);
  });
}

// Where the channels of the pixel (n,h,w) of d's image begin in the folded one; -1: nowhere, as no window sees it.
PEN_HD inline index_t place_in_folded(const Conv2d& d, const Conv2d& to, index_t n, index_t h, index_t w) {
  const index_t row = h + d.pad, col = w + d.pad;
  if (row / 2 >= to.h || col / 2 >= to.w) return -1;
  return ((n * to.h + row / 2) * to.w + col / 2) * folded_channels + folded_channel(row, col, d.c);
}

// The data gradient of the folded image back to d's dx (N,H,W,C).
template <class Exec, class real>
void unfold_pixels(const Context& ctx, const Conv2d& d, const real* from, real* dx) {
  const Conv2d to = folded(d);
  Exec(ctx).map(d.n * d.h * d.w, [=] PEN_HD(index_t pixel) {
    const index_t row = quotient(pixel, d.w), n = quotient(row, d.h);
    const index_t at = place_in_folded(d, to, n, row - n * d.h, pixel - row * d.w);
    for (index_t ch = 0; ch < d.c; ++ch) dx[pixel * d.c + ch] = at < 0 ? static_cast<real>(0.0f) : from[at + ch];
  });
}

// mask_of_folded where c channels are known to the compiler: their loads are under way together.
template <class Exec, index_t c, class real>
void mask_of_channels(const Context& ctx, const Conv2d& d, index_t scale, const wide_t<real>* x, const real* dx,
                      wide_t<real>* dm) {
  const Conv2d to = folded(d);
  const index_t high = d.h / scale, wide = d.w / scale;  // in cells
  Exec(ctx).map(d.n * high * wide, [=] PEN_HD(index_t cell) {
    const index_t row = quotient(cell, wide), n = quotient(row, high);
    const index_t top = (row - n * high) * scale, left = (cell - row * wide) * scale;
    wide_t<real> sum = 0;
    for (index_t h = top; h < top + scale; ++h)
      for (index_t w = left; w < left + scale; ++w) {
        const index_t at = place_in_folded(d, to, n, h, w), pixel = (n * d.h + h) * d.w + w;
        if (at < 0) continue;
        for (index_t ch = 0; ch < c; ++ch) sum += x[pixel * c + ch] * static_cast<wide_t<real>>(dx[at + ch]);
      }
    dm[cell] = sum;
  });
}

// dm = sum over channels and a cell's pixels of x dx, where dx is the data gradient of dy_in - dy_out, given for the
// folded image (see mask_of_data).
template <class Exec, class real>
void mask_of_folded(const Context& ctx, const Conv2d& d, index_t scale, const wide_t<real>* x, const real* dx,
                    wide_t<real>* dm) {
  if (d.c == 1) mask_of_channels<Exec, 1>(ctx, d, scale, x, dx, dm);
  if (d.c == 2) mask_of_channels<Exec, 2>(ctx, d, scale, x, dx, dm);
  if (d.c == 3) mask_of_channels<Exec, 3>(ctx, d, scale, x, dx, dm);
  if (d.c == 4) mask_of_channels<Exec, 4>(ctx, d, scale, x, dx, dm);
}

}  // namespace pen::kernels::shared
