#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/pixel_math.h"

namespace pen {
namespace {

std::uint8_t to_byte(std::int32_t sum) { return static_cast<std::uint8_t>(byte_of_sum(sum)); }

// The horizontal pass takes eight rows at once, a lane each, in vectors that GCC and Clang compile for any processor. A
// pixel moves as one 32-bit word, whose fourth byte is not used.
constexpr int kRows = 8;
using Lanes [[gnu::vector_size(4 * kRows)]] = std::int32_t;
using Words [[gnu::vector_size(4 * kRows)]] = std::uint32_t;

// The first Size bytes at `from` (4, or 3 where nothing may be read behind the pixel).
template <int Size>
std::uint32_t word(const std::uint8_t* from) {
  std::uint32_t w = 0;
  std::memcpy(&w, from, Size);
  return w;
}

// wide = the channels of pixel x of eight rows: 3 vectors
template <int Size>
void widen_pixel(const std::uint8_t* const (&rows)[kRows], std::ptrdiff_t x, std::int32_t* wide) {
  const auto at = [&](int r) { return word<Size>(rows[r] + 3 * x); };
  const Words w{at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)};
  const Words channels[3] = {w & 255, (w >> 8) & 255, (w >> 16) & 255};
  std::memcpy(wide, channels, sizeof channels);
}

// Rounds the sums of a pixel of eight rows, in place, and writes `rows` of them.
template <int Size>
void narrow_pixel(Lanes (&sum)[3], int rows, std::ptrdiff_t stride, std::uint8_t* to) {
  for (Lanes& channel : sum) sum_to_byte(channel);
  const Words w = (Words)sum[0] | (Words)sum[1] << 8 | (Words)sum[2] << 16;  // same bits
  for (int r = 0; r < kRows; ++r) {  // a constant count, so that each lane is one extraction
    const std::uint32_t v = w[r];
    if (r < rows) std::memcpy(to + r * stride, &v, Size);
  }
}

// result (height, width, 3) = pixels with each row from right to left
void mirror(const ImageView& pixels, std::uint8_t* result) {
  for (int y = 0; y < pixels.height; ++y)
    for (int x = pixels.width; x-- > 0; result += 3)
      std::memcpy(result, pixels.data + y * pixels.stride + std::ptrdiff_t{3} * x, 3);
}

}  // namespace

void ResizeAxis::set(int in_size, double from, double to, int out_size, int first_output, int output_count) {
  PEN_CHECK(in_size > 0 && from >= 0 && from < to && to <= in_size && out_size > 0 && first_output >= 0 &&
                output_count > 0 && output_count <= out_size - first_output,
            "resize: outputs ", first_output, "..", first_output, "+", output_count, " of ", in_size, " -> ", out_size);
  if (in == in_size && begin == from && end == to && out == out_size && first == first_output && count == output_count)
    return;
  const double scale = (to - from) / out_size;
  const double support = std::max(scale, 1.0);  // half the width of the triangle
  const double inverse = 1.0 / support;
  const int most = static_cast<int>(std::ceil(support)) * 2 + 1;
  in = 0;  // valid again once the table is complete
  begin = from;
  end = to;
  out = out_size;
  first = first_output;
  count = output_count;
  stride = most;
  start.resize(static_cast<std::size_t>(count));
  taps.resize(static_cast<std::size_t>(count));
  weights.assign(static_cast<std::size_t>(count) * static_cast<std::size_t>(stride), 0);
  in_begin = in_size;
  in_end = 0;
  shares.resize(static_cast<std::size_t>(most));
  double* const w = shares.data();
  const bool same = in_size == out_size && from == 0 && to == in_size;
  for (int i = 0; i < count; ++i) {
    const double center = from + (first + i + 0.5) * scale;
    const int low = std::max(0, static_cast<int>(center - support + 0.5));
    // An axis that keeps its size is handed through: each output is its own input, and no other one is needed.
    const int n = same ? 1 : std::min(in_size, static_cast<int>(center + support + 0.5)) - low;
    double total = 0;
    for (int t = 0; t < n; ++t) {
      const double distance = std::abs((t + low - center + 0.5) * inverse);
      w[t] = distance < 1 ? 1 - distance : 0;
      total += w[t];
    }
    std::int32_t* fixed = weights.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(stride);
    for (int t = 0; t < n; ++t) {
      const double share = total != 0 ? w[t] / total : w[t];
      fixed[t] = static_cast<std::int32_t>(0.5 + share * (1 << pixel_weight_bits));
    }
    start[static_cast<std::size_t>(i)] = low;
    taps[static_cast<std::size_t>(i)] = n;
    in_begin = std::min(in_begin, low);
    in_end = std::max(in_end, low + n);
  }
  in = in_size;
}

Rect Resizer::source(ImageSize in, const FractionRect& box, ImageSize out, const Rect& window) {
  x_.set(in.width, box.left, box.right, out.width, window.left, window.width);
  y_.set(in.height, box.top, box.bottom, out.height, window.top, window.height);
  // (a pass that is skipped needs no more than its table says)
  return {y_.in_begin, x_.in_begin, y_.in_end - y_.in_begin, x_.in_end - x_.in_begin};
}

// result (rows, x_.count, 3) from rows of the source part, which starts at column x_.in_begin.
void Resizer::horizontal(const ImageView& pixels, bool mirrored, std::uint8_t* result) {
  constexpr std::ptrdiff_t step = 3 * kRows;  // numbers of one widened pixel
  const int width = pixels.width, count = x_.count, first = x_.in_begin;
  wide_.resize(static_cast<std::size_t>(width * step));
  const int *start = x_.start.data(), *taps = x_.taps.data();
  const std::ptrdiff_t stride = x_.stride, row_bytes = std::ptrdiff_t{3} * count;
  const std::int32_t* weights = x_.weights.data();
  std::int32_t* wide = wide_.data();
  for (int y = 0; y < pixels.height; y += kRows) {
    const int rows = std::min(kRows, pixels.height - y);
    const std::uint8_t* from[kRows];
    for (int r = 0; r < kRows; ++r) from[r] = pixels.data + (y + std::min(r, rows - 1)) * pixels.stride;
    for (int x = 0; x + 1 < width; ++x) widen_pixel<4>(from, x, wide + x * step);
    widen_pixel<3>(from, width - 1, wide + (width - 1) * step);
    std::uint8_t* to = result + y * row_bytes;
    for (int o = 0; o < count; ++o, to += 3) {
      const int i = mirrored ? count - 1 - o : o;
      const std::int32_t *in = wide + step * (start[i] - first), *w = weights + i * stride;
      Lanes sum[3] = {Lanes{} + pixel_sum_start, Lanes{} + pixel_sum_start, Lanes{} + pixel_sum_start};
      for (int t = 0; t < taps[i]; ++t, in += step) {
        Lanes pixel[3];
        std::memcpy(pixel, in, sizeof pixel);
        for (int c = 0; c < 3; ++c) sum[c] += w[t] * pixel[c];
      }
      if (o + 1 < count)
        narrow_pixel<4>(sum, rows, row_bytes, to);
      else  // the byte behind a row's last pixel is the next row's
        narrow_pixel<3>(sum, rows, row_bytes, to);
    }
  }
}

// result (y_.count, width) from rows that start at source row y_.in_begin; width counts bytes.
void Resizer::vertical(const std::uint8_t* rows, std::ptrdiff_t stride, int width, std::uint8_t* result) {
  constexpr int block = 64;
  for (int i = 0; i < y_.count; ++i) {
    const std::uint8_t* in = rows + (y_.start[static_cast<std::size_t>(i)] - y_.in_begin) * stride;
    const std::int32_t* w = y_.weights.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(y_.stride);
    const int taps = y_.taps[static_cast<std::size_t>(i)];
    std::uint8_t* to = result + static_cast<std::ptrdiff_t>(i) * width;
    int x = 0;
    for (; x + block <= width; x += block) {
      std::int32_t sum[block];
      for (std::int32_t& s : sum) s = pixel_sum_start;
      for (int t = 0; t < taps; ++t) {
        const std::uint8_t* from = in + t * stride + x;
        for (int j = 0; j < block; ++j) sum[j] += w[t] * from[j];
      }
      for (int j = 0; j < block; ++j) to[x + j] = to_byte(sum[j]);
    }
    for (; x < width; ++x) {
      std::int32_t sum = pixel_sum_start;
      for (int t = 0; t < taps; ++t) sum += w[t] * in[t * stride + x];
      to[x] = to_byte(sum);
    }
  }
}

void Resizer::run(const ImageView& pixels, bool mirrored, std::uint8_t* result) {
  PEN_CHECK(pixels.height == y_.in_end - y_.in_begin && pixels.width == x_.in_end - x_.in_begin, "resize: got ",
            pixels.width, "x", pixels.height, " source pixels, needs ", x_.in_end - x_.in_begin, "x",
            y_.in_end - y_.in_begin);
  const std::uint8_t* rows = pixels.data;
  std::ptrdiff_t stride = pixels.stride;
  const std::size_t row_bytes = std::size_t{3} * static_cast<std::size_t>(x_.count);
  const bool across = !x_.identity() || mirrored, down = !y_.identity();
  if (across) {
    std::uint8_t* to = result;
    if (down) {
      between_.resize(row_bytes * static_cast<std::size_t>(pixels.height));
      to = between_.data();
    }
    if (x_.identity())
      mirror(pixels, to);
    else
      horizontal(pixels, mirrored, to);
    rows = to;
    stride = static_cast<std::ptrdiff_t>(row_bytes);
  }
  if (down) {
    vertical(rows, stride, static_cast<int>(row_bytes), result);
  } else if (rows != result) {
    for (int y = 0; y < y_.count; ++y)
      std::memcpy(result + row_bytes * static_cast<std::size_t>(y), rows + y * stride, row_bytes);
  }
}

void Resizer::tables(PixelAxis& x, PixelAxis& y) const {
  for (const auto& [from, to] : {std::pair{&x_, &x}, std::pair{&y_, &y}}) {
    to->stride = from->stride;
    to->taps = from->taps;
    to->weights = from->weights;
    to->start.resize(from->start.size());
    for (std::size_t i = 0; i < from->start.size(); ++i) to->start[i] = from->start[i] - from->in_begin;
  }
}

void unchanged(int count, PixelAxis& axis) {
  const auto n = static_cast<std::size_t>(count);
  axis.stride = 1;
  axis.start.resize(n);
  std::iota(axis.start.begin(), axis.start.end(), 0);
  axis.taps.assign(n, 1);
  axis.weights.assign(n, 1 << pixel_weight_bits);
}

Image resize(const ImageView& image, int height, int width) {
  Resizer resizer;
  Image out{height, width, {}};
  out.rgb.resize(std::size_t{3} * static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
  resizer.resize(image, {image.height, image.width}, {height, width}, {0, 0, height, width}, out.rgb.data());
  return out;
}

}  // namespace pen
