// Pillow's antialiased bilinear resize, bit for bit: two passes (horizontal, then vertical) of 8-bit fixed point whose
// support grows with the downscaling factor. Source of the formula: Pillow, src/libImaging/Resample.c (behaviour).
#pragma once

#include <cstdint>
#include <vector>

#include "data/image.h"
#include "tensor/pixels.h"

namespace pen {

// What one axis of `in` pixels gives for the outputs [first, first + count) of `out`:
// output i = (sum_t weights[i * stride + t] * in[start[i] + t] + 2^21) >> 22.
struct ResizeAxis {
  int in = 0, out = 0, first = 0, count = 0;
  double begin = 0, end = 0;
  int stride = 0;                     // weights kept per output
  int in_begin = 0, in_end = 0;       // the inputs that are used
  std::vector<int> start, taps;       // per output
  std::vector<std::int32_t> weights;  // 22 fractional bits
  std::vector<double> shares;         // of one output, while the table is made
  // Each output is its own input: the pass is skipped, as Pillow does.
  bool identity() const { return in == out && begin == 0 && end == in; }
  // Fills the table; does nothing when it holds this geometry already.
  // The outputs' range covers [from, to) of the inputs, which may be fractions (Pillow's `box`).
  void set(int in_size, double from, double to, int out_size, int first_output, int output_count);
};

// A part of an image with edges between pixels.
struct FractionRect {
  double top = 0, left = 0, bottom = 0, right = 0;
};

// Resizes with tables and buffers that are kept between calls. One per thread.
class Resizer {
 public:
  // The part of a (height, width) image that the outputs in `window` of its (out_height, out_width) version depend on.
  Rect source(ImageSize in, ImageSize out, const Rect& window) {
    return source(in, {0, 0, static_cast<double>(in.height), static_cast<double>(in.width)}, out, window);
  }
  // The same for the version of a box of the image.
  Rect source(ImageSize in, const FractionRect& box, ImageSize out, const Rect& window);
  // result (window.height, window.width, 3) = the pixels in `window` of in.resize(out, BILINEAR). `pixels` are those of
  // the input inside source(in, out, window).
  void resize(const ImageView& pixels, ImageSize in, ImageSize out, const Rect& window, std::uint8_t* result) {
    source(in, out, window);
    run(pixels, false, result);
  }
  // What the last source() prepared; each row of the result mirrored if `mirrored`.
  void run(const ImageView& pixels, bool mirrored, std::uint8_t* result);
  // The tables of the last source(), for somebody else's run: inputs count from the source part's corner.
  void tables(PixelAxis& x, PixelAxis& y) const;

 private:
  void horizontal(const ImageView& pixels, bool mirrored, std::uint8_t* result);
  void vertical(const std::uint8_t* rows, std::ptrdiff_t stride, int width, std::uint8_t* result);
  ResizeAxis x_, y_;
  std::vector<std::uint8_t> between_;  // (source rows, window.width, 3)
  std::vector<std::int32_t> wide_;     // eight rows before the horizontal pass
};

// The tables of an axis whose `count` outputs are their inputs.
void unchanged(int count, PixelAxis& axis);

// A whole image to a whole image.
Image resize(const ImageView& image, int height, int width);

}  // namespace pen
