// Cases of decoded images on their way to a network's input.
#include <cstring>

#include "base/pixel_math.h"
#include "tests/cases.h"

namespace pen::test {
namespace {

using namespace kernels;
using std::int64_t;

// Source pixels, tables and plans of images that were drawn: any order of starts and weights that sum to one.
struct Images {
  int64_t lines = 0;
  std::vector<PixelResize> plans;
  std::vector<std::int32_t> line_image, tables;
  std::vector<std::uint8_t> pixels;
};

template <class T>
std::vector<std::uint8_t> bytes_of(const std::vector<T>& values) {
  std::vector<std::uint8_t> out(values.size() * sizeof(T));
  if (!out.empty()) std::memcpy(out.data(), values.data(), out.size());
  return out;
}

void add_axis(Images& to, Rng& rng, int in, int count, int stride) {
  std::vector<std::int32_t> start, taps, weights;
  for (int i = 0; i < count; ++i) {
    const int n = 1 + static_cast<int>(rng.below(static_cast<std::uint64_t>(std::min(stride, in))));
    start.push_back(static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(in - n + 1))));
    taps.push_back(n);
    std::int32_t left = (1 << pixel_weight_bits) + 1;  // above one, so that sums are clipped too
    for (int t = 0; t < stride; ++t) {
      const std::int32_t share =
          t + 1 == n ? left : static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(left) + 1));
      weights.push_back(t < n ? share : 0x7fffffff);  // what lies behind an output's weights is not read
      if (t < n) left -= share;
    }
  }
  for (const auto* part : {&start, &taps, &weights}) to.tables.insert(to.tables.end(), part->begin(), part->end());
}

Images drawn(int64_t n, int side, std::uint64_t seed) {
  Images out;
  Rng rng(seed);
  const auto below = [&](int most) { return static_cast<int>(rng.below(static_cast<std::uint64_t>(most))); };
  for (int64_t i = 0; i < n; ++i) {
    const int rows = 1 + below(30), cols = 1 + below(30);
    PixelResize p{};
    p.pixels = static_cast<int64_t>(out.pixels.size());
    p.first_line = out.lines;
    p.cols = cols;
    p.x_count = i % 2 ? side : 1 + below(side);
    p.y_count = i % 2 ? side : 1 + below(side);
    p.left = below(side - p.x_count + 1);
    p.top = below(side - p.y_count + 1);
    p.flip = i % 3 == 1;
    p.x_stride = 1 + below(5);
    p.y_stride = 1 + below(5);
    p.x_table = static_cast<int64_t>(out.tables.size());
    add_axis(out, rng, cols, p.x_count, p.x_stride);
    p.y_table = static_cast<int64_t>(out.tables.size());
    add_axis(out, rng, rows, p.y_count, p.y_stride);
    for (int k = 0; k < rows * cols * 3; ++k) out.pixels.push_back(static_cast<std::uint8_t>(k % 5 ? below(256) : 255));
    out.line_image.insert(out.line_image.end(), static_cast<std::size_t>(rows), static_cast<std::int32_t>(i));
    out.lines += rows;
    out.plans.push_back(p);
  }
  return out;
}

}  // namespace

void add_pixel_cases(Registry& reg) {
  const PixelNormal normal{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
  for (const auto& [n, side] : {std::pair{0, 8}, {1, 1}, {1, 7}, {3, 16}, {9, 33}}) {
    const int64_t images = n, size = side;
    reg.add("resize_pixels", str(n, " images to ", side), exact, [=](auto& b) -> Call {
      const Images d = drawn(images, static_cast<int>(size), static_cast<std::uint64_t>(size));
      const auto* plans = reinterpret_cast<const PixelResize*>(b.in_bytes("plans", bytes_of(d.plans)));
      const auto* line_image = reinterpret_cast<const std::int32_t*>(b.in_bytes("line_image", bytes_of(d.line_image)));
      const auto* tables = reinterpret_cast<const std::int32_t*>(b.in_bytes("tables", bytes_of(d.tables)));
      const auto* pixels = b.in_bytes("pixels", d.pixels);
      auto* y = b.out("y", images * size * size * 3);
      return [=, lines = d.lines](const Context& ctx) {
        resize_pixels(ctx, images, size, lines, normal, plans, line_image, tables, pixels, y);
      };
    });
  }
}

}  // namespace pen::test
