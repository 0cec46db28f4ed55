#include "data/transforms.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/file.h"

namespace pen {
namespace {

using Table = std::array<std::array<float, 256>, 3>;

void fill_table(const Normalize& how, Table& table) {
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t v = 0; v < 256; ++v) table[c][v] = (static_cast<float>(v) / 255.0f - how.mean[c]) / how.std[c];
}

void apply_table(const std::uint8_t* rgb, int height, int width, bool flip, const Table& table, float* out) {
  const float *red = table[0].data(), *green = table[1].data(), *blue = table[2].data();
  const std::ptrdiff_t row = std::ptrdiff_t{3} * width, step = flip ? -3 : 3;
  for (int y = 0; y < height; ++y, rgb += row) {
    const std::uint8_t* in = flip ? rgb + row - 3 : rgb;
    for (int x = 0; x < width; ++x, in += step, out += 3) {
      out[0] = red[in[0]];
      out[1] = green[in[1]];
      out[2] = blue[in[2]];
    }
  }
}

// Python's round(): to the nearest, halves to even.
int round_even(double v) { return static_cast<int>(std::nearbyint(v)); }

}  // namespace

void check(const Transform& t) {
  PEN_CHECK_AS(usage, t.size > 0 && t.size <= 16384 && t.resize > 0 && t.resize <= 16384, "an input of ", t.size,
               " pixels, resized to ", t.resize, ", is not in 1..16384");
}

Transform Transform::train(int size) {
  Transform t;
  t.kind = Kind::random_crop;
  t.size = t.resize = size;
  t.flip = true;
  return t;
}

Transform Transform::val(int size) {
  Transform t;
  t.size = size;
  t.resize = static_cast<int>(std::lround(256.0 * size / 224.0));
  return t;
}

Transform Transform::score(int size, bool break_ratio) {
  Transform t;
  t.kind = break_ratio ? Kind::both_sides : Kind::shorter_side;
  t.size = t.resize = size;
  return t;
}

Transform Transform::wsol(int size) { return score(size, true); }

ImageSize resized_shorter_side(ImageSize image, int s) {
  const bool tall = image.width <= image.height;
  const int shorter = tall ? image.width : image.height, longer = tall ? image.height : image.width;
  const double scaled = static_cast<double>(std::int64_t{s} * longer) / shorter;
  PEN_CHECK_AS(data, scaled < std::numeric_limits<int>::max(), "an image of ", image.width, "x", image.height,
               " is too long to be resized to a shorter side of ", s);
  const int other = static_cast<int>(scaled);
  return tall ? ImageSize{other, s} : ImageSize{s, other};
}

int center_offset(int n, int s) { return n < s ? -((s - n) / 2) : round_even((n - s) / 2.0); }

Rect random_resized_crop(ImageSize image, Rng& rng, double min_area) {
  const double height = image.height, width = image.width, area = height * width;
  const double low = std::log(3.0 / 4.0), high = std::log(4.0 / 3.0);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target = area * rng.uniform(min_area, 1.0);
    const double ratio = std::exp(rng.uniform(low, high));
    const int w = round_even(std::sqrt(target * ratio)), h = round_even(std::sqrt(target / ratio));
    if (0 < w && w <= image.width && 0 < h && h <= image.height) {
      const auto top = static_cast<int>(rng.below(static_cast<std::uint64_t>(image.height - h + 1)));
      const auto left = static_cast<int>(rng.below(static_cast<std::uint64_t>(image.width - w + 1)));
      return {top, left, h, w};
    }
  }
  int w = image.width, h = image.height;
  if (width / height < 3.0 / 4.0)
    h = round_even(w / (3.0 / 4.0));
  else if (width / height > 4.0 / 3.0)
    w = round_even(h * (4.0 / 3.0));
  return {(image.height - h) / 2, (image.width - w) / 2, h, w};
}

Placement place(const Transform& t, ImageSize image, Rng& rng) {
  check(t);
  Placement p;
  p.crop = {0, 0, image.height, image.width};
  if (t.kind == Transform::Kind::random_crop) {
    p.crop = random_resized_crop(image, rng, t.min_area);
    p.resized = {t.size, t.size};
  } else {
    p.resized =
        t.kind == Transform::Kind::both_sides ? ImageSize{t.resize, t.resize} : resized_shorter_side(image, t.resize);
    p.top = center_offset(p.resized.height, t.size);
    p.left = center_offset(p.resized.width, t.size);
  }
  p.flip = t.flip && rng.bernoulli(0.5);
  return p;
}

ImagePipeline::ImagePipeline(DecodeLimits limits) : limits_(limits), reader_(limits) { fill_table(table_of_, table_); }

void ImagePipeline::render(std::span<const std::uint8_t> bytes, const std::string& name, const Transform& t, Rng& rng) {
  const ImageSize image = reader_.open(bytes, name);
  const Placement& p = placement_ = place(t, image, rng);
  const std::size_t side = static_cast<std::size_t>(t.size);
  pixels_.resize(side * side * 3);
  // the outputs that exist; what lies around them is padding
  const int top = std::max(p.top, 0), left = std::max(p.left, 0);
  const Rect window{top, left, std::min(p.resized.height, p.top + t.size) - top,
                    std::min(p.resized.width, p.left + t.size) - left};
  const ImageSize crop{p.crop.height, p.crop.width};
  Rect source = resizer_.source(crop, p.resized, window);
  source.top += p.crop.top;
  source.left += p.crop.left;
  const ImageView view = reader_.read(source);
  if (window.height == t.size && window.width == t.size)
    return resizer_.resize(view, crop, p.resized, window, pixels_.data());
  window_.resize(std::size_t{3} * static_cast<std::size_t>(window.height) * static_cast<std::size_t>(window.width));
  resizer_.resize(view, crop, p.resized, window, window_.data());
  std::fill(pixels_.begin(), pixels_.end(), std::uint8_t{0});
  const std::size_t row = std::size_t{3} * static_cast<std::size_t>(window.width);
  for (int y = 0; y < window.height; ++y) {
    const auto to_row = static_cast<std::size_t>(y + top - p.top), to_column = static_cast<std::size_t>(left - p.left);
    std::memcpy(&pixels_[(to_row * side + to_column) * 3], &window_[row * static_cast<std::size_t>(y)], row);
  }
}

void ImagePipeline::load(std::span<const std::uint8_t> bytes, const std::string& name, const Transform& t, Rng& rng,
                         float* out) {
  render(bytes, name, t, rng);
  if (t.normalize.mean != table_of_.mean || t.normalize.std != table_of_.std) {
    table_of_ = t.normalize;
    fill_table(table_of_, table_);
  }
  apply_table(pixels_.data(), t.size, t.size, placement_.flip, table_, out);
}

void ImagePipeline::load(const std::string& path, const Transform& t, Rng& rng, float* out) {
  read_file(path, limits_.max_bytes, bytes_);
  load(bytes_, path, t, rng, out);
}

Image ImagePipeline::load_pixels(std::span<const std::uint8_t> bytes, const std::string& name, const Transform& t,
                                 Rng& rng) {
  render(bytes, name, t, rng);
  Image out{t.size, t.size, pixels_};
  if (placement_.flip) {
    for (int y = 0; y < t.size; ++y)
      for (int x = 0; x < t.size; ++x)
        std::memcpy(&out.rgb[static_cast<std::size_t>(y * t.size + x) * 3],
                    &pixels_[static_cast<std::size_t>(y * t.size + t.size - 1 - x) * 3], 3);
  }
  return out;
}

void normalize(const std::uint8_t* rgb, int height, int width, bool flip, const Normalize& how, float* out) {
  Table table;
  fill_table(how, table);
  apply_table(rgb, height, width, flip, table, out);
}

}  // namespace pen
