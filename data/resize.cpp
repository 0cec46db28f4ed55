#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace pen {
namespace {

constexpr int kBits = 22;  // fractional bits of a weight: 8 bits of pixel and two for the sum remain in 32
constexpr std::int32_t kHalf = 1 << (kBits - 1);

std::uint8_t to_byte(std::int32_t sum) { return static_cast<std::uint8_t>(std::min(sum >> kBits, 255)); }

}  // namespace

void ResizeAxis::set(int in_size, int out_size, int first_output, int output_count) {
  PEN_CHECK(
      in_size > 0 && out_size > 0 && first_output >= 0 && output_count > 0 && output_count <= out_size - first_output,
      "resize: outputs ", first_output, "..", first_output, "+", output_count, " of ", in_size, " -> ", out_size);
  if (in == in_size && out == out_size && first == first_output && count == output_count) return;
  const double scale = static_cast<double>(in_size) / out_size;
  const double support = std::max(scale, 1.0);  // half the width of the triangle
  const double inverse = 1.0 / support;
  const int most = static_cast<int>(std::ceil(support)) * 2 + 1;
  in = in_size;
  out = out_size;
  first = first_output;
  count = output_count;
  stride = (most + 3) / 4 * 4;
  start.resize(static_cast<std::size_t>(count));
  taps.resize(static_cast<std::size_t>(count));
  weights.assign(static_cast<std::size_t>(count) * static_cast<std::size_t>(stride), 0);
  in_begin = in_size;
  in_end = 0;
  std::vector<double> w(static_cast<std::size_t>(most));
  for (int i = 0; i < count; ++i) {
    const double center = (first + i + 0.5) * scale;
    const int begin = std::max(0, static_cast<int>(center - support + 0.5));
    const int n = std::min(in_size, static_cast<int>(center + support + 0.5)) - begin;
    double total = 0;
    for (int t = 0; t < n; ++t) {
      const double distance = std::abs((t + begin - center + 0.5) * inverse);
      w[static_cast<std::size_t>(t)] = distance < 1 ? 1 - distance : 0;
      total += w[static_cast<std::size_t>(t)];
    }
    std::int32_t* fixed = weights.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(stride);
    for (int t = 0; t < n; ++t) {
      const double share = total != 0 ? w[static_cast<std::size_t>(t)] / total : w[static_cast<std::size_t>(t)];
      fixed[t] = static_cast<std::int32_t>(0.5 + share * (1 << kBits));
    }
    start[static_cast<std::size_t>(i)] = begin;
    taps[static_cast<std::size_t>(i)] = n;
    in_begin = std::min(in_begin, begin);
    in_end = std::max(in_end, begin + n);
  }
}

Rect Resizer::source(ImageSize in, ImageSize out, const Rect& window) {
  x_.set(in.width, out.width, window.left, window.width);
  y_.set(in.height, out.height, window.top, window.height);
  // (a pass that is skipped needs no more than its table says)
  return {y_.in_begin, x_.in_begin, y_.in_end - y_.in_begin, x_.in_end - x_.in_begin};
}

// result (rows, x_.count, 3) from rows of the source part, which starts at column x_.in_begin.
void Resizer::horizontal(const ImageView& pixels, std::uint8_t* result) {
  // Four pixels at a time: 12 bytes become 16 lanes (the fourth lane of a pixel is unused), so loads run up to 4
  // bytes, and the zero weights behind the last tap up to 9 more, past what is used.
  constexpr std::ptrdiff_t overrun = 16;
  const std::uint8_t* end = pixels.data + (pixels.height - 1) * pixels.stride + std::ptrdiff_t{3} * pixels.width;
  const auto groups = static_cast<std::size_t>(x_.stride / 4);
  spread_.resize(x_.weights.size() * 4);
  for (std::size_t i = 0; i < x_.weights.size(); ++i)
    for (std::size_t lane = 0; lane < 4; ++lane) spread_[4 * i + lane] = x_.weights[i];
  const std::size_t row_bytes = std::size_t{3} * static_cast<std::size_t>(pixels.width);
  for (int y = 0; y < pixels.height; ++y) {
    const std::uint8_t* row = pixels.data + y * pixels.stride;
    if (end - row < static_cast<std::ptrdiff_t>(row_bytes) + std::ptrdiff_t{12} * (x_.stride / 4) + overrun) {
      last_row_.resize(row_bytes + 12 * groups + overrun);
      std::memcpy(last_row_.data(), row, row_bytes);
      row = last_row_.data();
    }
    for (int i = 0; i < x_.count; ++i, result += 3) {
      const std::uint8_t* in = row + std::ptrdiff_t{3} * (x_.start[static_cast<std::size_t>(i)] - x_.in_begin);
      const std::int32_t* w = spread_.data() + static_cast<std::size_t>(i) * groups * 16;
      std::int32_t sum[16] = {kHalf, kHalf, kHalf};
      const auto used = static_cast<std::size_t>(x_.taps[static_cast<std::size_t>(i)] + 3) / 4;
      for (std::size_t g = 0; g < used; ++g, in += 12, w += 16)
        for (std::size_t lane = 0; lane < 16; ++lane) sum[lane] += w[lane] * in[lane / 4 * 3 + lane % 4];
      for (int c = 0; c < 3; ++c) result[c] = to_byte(sum[c] + sum[4 + c] + sum[8 + c] + sum[12 + c]);
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
      for (std::int32_t& s : sum) s = kHalf;
      for (int t = 0; t < taps; ++t) {
        const std::uint8_t* from = in + t * stride + x;
        for (int j = 0; j < block; ++j) sum[j] += w[t] * from[j];
      }
      for (int j = 0; j < block; ++j) to[x + j] = to_byte(sum[j]);
    }
    for (; x < width; ++x) {
      std::int32_t sum = kHalf;
      for (int t = 0; t < taps; ++t) sum += w[t] * in[t * stride + x];
      to[x] = to_byte(sum);
    }
  }
}

void Resizer::resize(const ImageView& pixels, ImageSize in, ImageSize out, const Rect& window, std::uint8_t* result) {
  const Rect need = source(in, out, window);
  PEN_CHECK(pixels.height == need.height && pixels.width == need.width, "resize: got ", pixels.width, "x",
            pixels.height, " source pixels, needs ", need.width, "x", need.height);
  const std::uint8_t* rows = pixels.data;
  std::ptrdiff_t stride = pixels.stride;
  const std::size_t row_bytes = std::size_t{3} * static_cast<std::size_t>(window.width);
  // A pass whose size does not change is skipped.
  if (in.width != out.width) {
    std::uint8_t* to = result;
    if (in.height != out.height) {
      between_.resize(row_bytes * static_cast<std::size_t>(pixels.height));
      to = between_.data();
    }
    horizontal(pixels, to);
    rows = to;
    stride = static_cast<std::ptrdiff_t>(row_bytes);
  }
  if (in.height != out.height) {
    vertical(rows, stride, static_cast<int>(row_bytes), result);
  } else if (rows != result) {
    for (int y = 0; y < window.height; ++y)
      std::memcpy(result + row_bytes * static_cast<std::size_t>(y), rows + y * stride, row_bytes);
  }
}

Image resize(const ImageView& image, int height, int width) {
  Resizer resizer;
  Image out{height, width, {}};
  out.rgb.resize(std::size_t{3} * static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
  resizer.resize(image, {image.height, image.width}, {height, width}, {0, 0, height, width}, out.rgb.data());
  return out;
}

}  // namespace pen
