// Decoded images to a network's input, in the bytes and floats of data/resize.cpp and data/normalize.cpp.
#pragma once

#include "base/pixel_math.h"
#include "kernels/shared/math.inl"

namespace pen::kernels::shared {

template <class Exec, class real>
void resize_pixels(const Context& ctx, std::int64_t n, std::int64_t side, std::int64_t lines, const PixelNormal& normal,
                   const PixelResize* plans, const std::int32_t* line_image, const std::int32_t* tables,
                   const std::uint8_t* pixels, real* y) {
  const Exec exec(ctx);
  const index_t row = 3 * side;  // bytes of a line of any image after its horizontal pass
  typename Exec::template Memory<std::uint8_t> memory(exec, lines * row);
  std::uint8_t* between = memory.data();
  exec.grid(lines, row, [=] PEN_HD(index_t line, index_t at) {
    const PixelResize& p = plans[line_image[line]];
    const index_t column = at / 3;
    if (column >= p.x_count) return;
    const index_t o = p.flip ? p.x_count - 1 - column : column;
    const std::int32_t* table = tables + p.x_table;
    const std::int32_t* weights = table + 2 * p.x_count + o * p.x_stride;
    const std::uint8_t* from = pixels + p.pixels + ((line - p.first_line) * p.cols + table[o]) * 3 + at % 3;
    std::int32_t sum = pixel_sum_start;
    for (std::int32_t t = 0; t < table[p.x_count + o]; ++t) sum += weights[t] * from[3 * t];
    between[line * row + at] = static_cast<std::uint8_t>(byte_of_sum(sum));
  });
  exec.grid(n * side, row, [=] PEN_HD(index_t r, index_t at) {
    const PixelResize& p = plans[r / side];
    const index_t o = r % side - p.top, column = at / 3 - p.left, c = at % 3;
    std::uint8_t byte = 0;
    if (o >= 0 && o < p.y_count && column >= 0 && column < p.x_count) {
      const std::int32_t* table = tables + p.y_table;
      const std::int32_t* weights = table + 2 * p.y_count + o * p.y_stride;
      const std::uint8_t* from = between + (p.first_line + table[o]) * row + column * 3 + c;
      std::int32_t sum = pixel_sum_start;
      for (std::int32_t t = 0; t < table[p.y_count + o]; ++t) sum += weights[t] * from[t * row];
      byte = static_cast<std::uint8_t>(byte_of_sum(sum));
    }
    y[r * row + at] = static_cast<real>(normalized_byte(byte, normal.mean[c], normal.std[c]));
  });
}

}  // namespace pen::kernels::shared
