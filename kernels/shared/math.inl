// Formulas that several kernels share, for host and device, float and double.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/rng.h"
#include "kernels/shared/two_sums.h"
#include "kernels/types.h"

namespace pen::kernels::shared {

using index_t = std::int64_t;

template <class T>
PEN_HD inline T clamp_min(T x, T low) {
  return x < low ? low : x;  // in this order a NaN stays visible
}

// What a ReLU leaves of x, and of a gradient dy where x was above zero (`open`) or not. Slope 0 is the plain ReLU,
// which leaves nothing, not even of an infinity.
template <class T>
PEN_HD inline T rectified(T x, T slope) {
  return x < T(0) ? (slope == T(0) ? T(0) : slope * x) : x;  // in this order a NaN stays visible
}
template <class T>
PEN_HD inline T gated(T dy, bool open, T slope) {
  return open ? dy : slope == T(0) ? T(0) : slope * dy;
}

template <class T>
PEN_HD inline T sigmoid(T x) {
  // exp of a negative number only: no overflow at either end
  if (x >= 0) return T(1) / (T(1) + std::exp(-x));
  const T e = std::exp(x);
  return e / (T(1) + e);
}

// fill where kept = 0, image where kept = 1
template <class T>
PEN_HD inline T mix(T image, T filling, T kept) {
  return filling + kept * (image - filling);
}

// a / b for what is not negative; a GPU divides 32 bits several times as fast as 64.
PEN_HD inline index_t quotient(index_t a, index_t b) {
  if (((a | b) >> 32) == 0) return static_cast<std::uint32_t>(a) / static_cast<std::uint32_t>(b);
  return a / b;
}

// a % b for what is not negative, likewise.
PEN_HD inline index_t remainder_of(index_t a, index_t b) { return a - quotient(a, b) * b; }

// The cell that run r lies in; a run is what a row of pixels has of a cell: runs in order are the images.
PEN_HD inline index_t cell_of_run(const MaskCells& d, index_t r) {
  if (d.scale == 1) return r;
  const index_t row = quotient(r, d.w);  // of pixels
  return quotient(row, d.scale) * d.w + (r - row * d.w);
}

// Calls f(pixel) for the pixels of a cell, row by row.
template <class F>
PEN_HD inline void each_pixel(const MaskCells& d, index_t cell, F f) {
  if (d.scale == 1) return f(cell);
  const index_t row = quotient(cell, d.w), width = d.w * d.scale;
  const index_t first = (row * width + (cell - row * d.w)) * d.scale;
  for (index_t i = 0; i < d.scale; ++i)
    for (index_t j = 0; j < d.scale; ++j) f(first + i * width + j);
}

// Calls f(i) for the elements of byte j of a field of n bits, in order: whoever writes bits writes whole bytes.
template <class F>
PEN_HD inline std::uint8_t bits_of_byte(index_t j, index_t n, F f) {
  unsigned byte = 0;
  for (index_t i = 8 * j; i < n && i < 8 * j + 8; ++i) byte |= static_cast<unsigned>(f(i)) << (i % 8);
  return static_cast<std::uint8_t>(byte);
}

template <class T>
PEN_HD inline void store(T* y, index_t i, double value, Accum accum) {
  y[i] = accum == Accum::add ? static_cast<T>(static_cast<double>(y[i]) + value) : static_cast<T>(value);
}

// The two input rows (or columns) that bilinear resizing reads for output index o, and their weights, as PyTorch
// computes them: half-pixel centres clamped at 0, or corner-aligned.
template <class T>
struct BilinearTap {
  index_t i0, i1;
  T w0, w1;
};

template <class T>
PEN_HD inline BilinearTap<T> bilinear_tap(index_t o, index_t in, index_t out, bool align_corners) {
  T at;
  if (align_corners) {
    at = out > 1 ? T(o) * (T(in - 1) / T(out - 1)) : T(0);
  } else {
    at = clamp_min((T(in) / T(out)) * (T(o) + T(0.5)) - T(0.5), T(0));
  }
  BilinearTap<T> tap;
  tap.i0 = static_cast<index_t>(at);
  if (tap.i0 > in - 1) tap.i0 = in - 1;
  tap.i1 = tap.i0 + (tap.i0 < in - 1 ? 1 : 0);
  tap.w1 = at - T(tap.i0);
  tap.w0 = T(1) - tap.w1;
  return tap;
}

// Output indices [begin, end) that may read input index i: a cover, each one is checked against its tap.
PEN_HD inline void bilinear_readers(index_t i, index_t in, index_t out, bool align_corners, index_t& begin,
                                    index_t& end) {
  const double ratio =
      align_corners ? (in > 1 ? double(out - 1) / double(in - 1) : double(out)) : double(out) / double(in);
  const double offset = align_corners ? 0.0 : 0.5;
  begin = static_cast<index_t>((double(i) - 1 + offset) * ratio - offset) - 1;
  end = static_cast<index_t>((double(i) + 1 + offset) * ratio - offset) + 3;
  if (i == 0 || begin < 0) begin = 0;
  if (i == in - 1 || end > out) end = out;
}

// The input index that nearest resizing reads; in float for all types, as PyTorch does.
PEN_HD inline index_t nearest_source(index_t o, index_t in, index_t out) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  const index_t i = static_cast<index_t>(floorf(static_cast<float>(o) * scale));
  return i < in - 1 ? i : in - 1;
}

PEN_HD inline void nearest_readers(index_t i, index_t in, index_t out, index_t& begin, index_t& end) {
  const double ratio = double(out) / double(in);
  begin = static_cast<index_t>(double(i) * ratio) - 2;
  end = static_cast<index_t>(double(i + 1) * ratio) + 3;
  if (begin < 0) begin = 0;
  if (end > out) end = out;
}

}  // namespace pen::kernels::shared
