#include "tensor/pixels.h"

#include <cstring>

#include "base/parallel.h"
#include "kernels/kernels.h"

namespace pen {
namespace {

using kernels::PixelResize;

// Everything in one block of memory: plans, the image of each line, tables, pixels.
struct Layout {
  std::vector<PixelResize> plans;
  std::int64_t lines = 0, numbers = 0, bytes = 0;  // of all images: source lines, numbers in tables, source bytes
  std::size_t line_image = 0, tables = 0, pixels = 0, size = 0;  // where sections begin, and where the last one ends
};

std::int64_t numbers_of(const PixelAxis& axis) { return axis.count() * (2 + std::int64_t{axis.stride}); }

void check(const PixelPart& p, int side) {
  const auto inside = [&](const PixelAxis& axis, int size, int at) {
    if (at < 0 || axis.count() > side - at || axis.taps.size() != axis.start.size() ||
        static_cast<std::int64_t>(axis.weights.size()) != std::int64_t{axis.count()} * axis.stride)
      return false;
    for (std::size_t i = 0; i < axis.start.size(); ++i)
      if (axis.start[i] < 0 || axis.taps[i] < 0 || axis.taps[i] > axis.stride || axis.taps[i] > size - axis.start[i])
        return false;
    return true;
  };
  PEN_CHECK(p.rows >= 0 && p.cols >= 0 &&
                static_cast<std::int64_t>(p.rgb.size()) == std::int64_t{3} * p.rows * p.cols &&
                inside(p.x, p.cols, p.left) && inside(p.y, p.rows, p.top),
            "pixels: the tables of an image of ", p.cols, "x", p.rows, " do not fit it or the ", side, "x", side,
            " that are made of it");
}

Layout layout_of(std::span<const PixelPart> parts, int side) {
  Layout out;
  for (const PixelPart& p : parts) {
    check(p, side);
    PixelResize plan{};
    plan.pixels = out.bytes;
    plan.first_line = out.lines;
    plan.x_table = out.numbers;
    plan.y_table = out.numbers + numbers_of(p.x);
    plan.cols = p.cols;
    plan.x_count = p.x.count(), plan.x_stride = p.x.stride;
    plan.y_count = p.y.count(), plan.y_stride = p.y.stride;
    plan.top = p.top, plan.left = p.left, plan.flip = p.flip;
    out.plans.push_back(plan);
    out.bytes += static_cast<std::int64_t>(p.rgb.size());
    out.lines += p.rows;
    out.numbers += numbers_of(p.x) + numbers_of(p.y);
  }
  const auto section = [](std::size_t end) { return (end + 15) / 16 * 16; };
  out.line_image = section(out.plans.size() * sizeof(PixelResize));
  out.tables = section(out.line_image + static_cast<std::size_t>(out.lines) * sizeof(std::int32_t));
  out.pixels = section(out.tables + static_cast<std::size_t>(out.numbers) * sizeof(std::int32_t));
  out.size = out.pixels + static_cast<std::size_t>(out.bytes);
  return out;
}

void write_axis(const PixelAxis& axis, std::uint8_t* to) {
  for (const auto* numbers : {&axis.start, &axis.taps, &axis.weights}) {
    if (!numbers->empty()) std::memcpy(to, numbers->data(), numbers->size() * sizeof(std::int32_t));
    to += numbers->size() * sizeof(std::int32_t);
  }
}

void write(std::span<const PixelPart> parts, const Layout& at, std::uint8_t* to) {
  std::memcpy(to, at.plans.data(), at.plans.size() * sizeof(PixelResize));
  parallel_for(static_cast<std::int64_t>(parts.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const PixelPart& p = parts[static_cast<std::size_t>(i)];
      const PixelResize& plan = at.plans[static_cast<std::size_t>(i)];
      const std::vector<std::int32_t> image(static_cast<std::size_t>(p.rows), static_cast<std::int32_t>(i));
      if (p.rows > 0)
        std::memcpy(to + at.line_image + static_cast<std::size_t>(plan.first_line) * sizeof(std::int32_t), image.data(),
                    image.size() * sizeof(std::int32_t));
      write_axis(p.x, to + at.tables + static_cast<std::size_t>(plan.x_table) * sizeof(std::int32_t));
      write_axis(p.y, to + at.tables + static_cast<std::size_t>(plan.y_table) * sizeof(std::int32_t));
      if (!p.rgb.empty()) std::memcpy(to + at.pixels + plan.pixels, p.rgb.data(), p.rgb.size());
    }
  });
}

}  // namespace

Tensor made_of_pixels(std::span<const PixelPart> parts, int side, const kernels::PixelNormal& normal,
                      Uploader& uploader) {
  const auto n = static_cast<std::int64_t>(parts.size());
  const Layout at = layout_of(parts, side);
  const Tensor block = uploader.upload_bytes(at.size, [&](std::uint8_t* to) { write(parts, at, to); });
  Tensor out = Tensor::empty({n, side, side, 3}, DType::f32, block.device());
  const auto* from = block.data<std::uint8_t>();
  kernels::resize_pixels(context(block.device()), n, side, at.lines, normal, reinterpret_cast<const PixelResize*>(from),
                         reinterpret_cast<const std::int32_t*>(from + at.line_image),
                         reinterpret_cast<const std::int32_t*>(from + at.tables), from + at.pixels,
                         out.mutable_data<float>());
  return out;
}

}  // namespace pen
