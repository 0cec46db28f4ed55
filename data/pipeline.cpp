#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "data/transforms.h"

namespace pen {
namespace {

// By how much a JPEG may be shrunk while it is decoded, so that nothing has to be enlarged again: the power of two up
// to 8 that leaves the crop at least as large as what is made of it.
int shrink_factor(const Placement& p) {
  int factor = 1;
  while (factor < 8 && p.crop.height >= 2 * factor * p.resized.height && p.crop.width >= 2 * factor * p.resized.width)
    factor *= 2;
  return factor;
}

// What a crop covers of an image that was shrunk: the pixels it touches, and its place among them.
struct Shrunk {
  Rect pixels;
  FractionRect box;
};
Shrunk shrunk_crop(const Rect& crop, ImageSize small, double factor) {
  const auto first = [&](int v) { return static_cast<int>(v / factor); };
  const auto last = [&](int v, int most) { return std::min(most, static_cast<int>((v + factor - 1) / factor)); };
  Shrunk s;
  s.pixels.top = first(crop.top);
  s.pixels.left = first(crop.left);
  s.pixels.height = last(crop.top + crop.height, small.height) - s.pixels.top;
  s.pixels.width = last(crop.left + crop.width, small.width) - s.pixels.left;
  s.box.top = crop.top / factor - s.pixels.top;
  s.box.left = crop.left / factor - s.pixels.left;
  // (the last pixel of an odd side stands for less than `factor`)
  s.box.bottom = (crop.top + crop.height) / factor - s.pixels.top;
  s.box.right = (crop.left + crop.width) / factor - s.pixels.left;
  return s;
}

// The outputs that exist of the size x size that are cut from the resized image; what lies around them is padding.
Rect existing(const Placement& p, int size) {
  const int top = std::max(p.top, 0), left = std::max(p.left, 0);
  return {top, left, std::min(p.resized.height, p.top + size) - top, std::min(p.resized.width, p.left + size) - left};
}
// The column where they begin, mirrored or not.
int column_of(const Placement& p, int size, const Rect& window) {
  const int before = window.left - p.left;
  return p.flip ? size - before - window.width : before;
}

void copy_rows(const ImageView& from, std::vector<std::uint8_t>& to) {
  const std::size_t row = std::size_t{3} * static_cast<std::size_t>(from.width);
  to.resize(row * static_cast<std::size_t>(from.height));
  for (int y = 0; y < from.height; ++y)
    std::memcpy(to.data() + row * static_cast<std::size_t>(y), from.data + y * from.stride, row);
}

}  // namespace

ImagePipeline::ImagePipeline(PixelSource pixels) : from_(std::move(pixels)), reader_(from_.limits) {
  PEN_CHECK(!from_.cache || from_.cache->options().decode == from_.decode,
            "the image cache was made for another way of decoding");
}

Rect ImagePipeline::source_of(ImageSize image, const Rect& window, bool whole) {
  const Placement& p = placement_;
  const int factor = from_.decode == Decode::fast && !whole ? shrink_factor(p) : 1;
  Rect source;
  if (const ImageSize small = factor > 1 ? reader_.shrink(factor) : image;
      small.height != image.height || small.width != image.width) {
    const Shrunk crop = shrunk_crop(p.crop, small, factor);
    source = resizer_.source({crop.pixels.height, crop.pixels.width}, crop.box, p.resized, window);
    source.top += crop.pixels.top;
    source.left += crop.pixels.left;
  } else {
    source = resizer_.source({p.crop.height, p.crop.width}, p.resized, window);
    source.top += p.crop.top;
    source.left += p.crop.left;
  }
  return source;
}

void ImagePipeline::resize_window(ImageSize image, const Rect& window, const ImageView* whole, std::uint8_t* out) {
  const Rect source = source_of(image, window, whole != nullptr);
  resizer_.run(whole ? whole->part(source) : reader_.read(source), placement_.flip, out);
}

void ImagePipeline::render_placed(ImageSize image, const Transform& t, const ImageView* whole) {
  const Placement& p = placement_;
  const std::size_t side = static_cast<std::size_t>(t.size);
  pixels_.resize(side * side * 3);
  const Rect window = existing(p, t.size);
  if (window.height == t.size && window.width == t.size) return resize_window(image, window, whole, pixels_.data());
  window_.resize(std::size_t{3} * static_cast<std::size_t>(window.height) * static_cast<std::size_t>(window.width));
  resize_window(image, window, whole, window_.data());
  std::fill(pixels_.begin(), pixels_.end(), std::uint8_t{0});
  const std::size_t row = std::size_t{3} * static_cast<std::size_t>(window.width);
  const int column = column_of(p, t.size, window);
  for (int y = 0; y < window.height; ++y) {
    const auto to_row = static_cast<std::size_t>(y + window.top - p.top);
    std::memcpy(&pixels_[(to_row * side + static_cast<std::size_t>(column)) * 3],
                &window_[row * static_cast<std::size_t>(y)], row);
  }
}

void ImagePipeline::render(std::span<const std::uint8_t> bytes, const std::string& name, const Transform& t, Rng& rng) {
  const ImageSize image = reader_.open(bytes, name);
  placement_ = place(t, image, rng);
  render_placed(image, t, nullptr);
}

ImageView ImagePipeline::shrunk(const std::string& path) {
  read_file(path, from_.limits.max_bytes, bytes_);
  const ImageSize image = reader_.open(bytes_, path);
  const int edge = from_.cache->options().edge;
  const bool small = std::min(image.height, image.width) <= edge;
  const ImageSize size = small ? image : resized_shorter_side(image, edge);
  placement_ = {{0, 0, image.height, image.width}, size, 0, 0, false};
  shrunk_.resize(std::size_t{3} * static_cast<std::size_t>(size.height) * static_cast<std::size_t>(size.width));
  resize_window(image, {0, 0, size.height, size.width}, nullptr, shrunk_.data());
  return {shrunk_.data(), size.height, size.width, std::ptrdiff_t{3} * size.width};
}

ImageSize ImagePipeline::open_placed(const std::string& path, const Transform& t, Rng& rng, ImageView& whole) {
  ImageSize size;
  if (from_.cache) {
    const FileIdentity file = identify(path);
    whole = from_.cache->find(path, file, shrunk_);
    if (!whole.data) {
      whole = shrunk(path);
      from_.cache->store(path, file, whole);
    }
    size = {whole.height, whole.width};
  } else {
    read_file(path, from_.limits.max_bytes, bytes_);
    size = reader_.open(bytes_, path);
  }
  placement_ = place(t, size, rng);
  return size;
}

void ImagePipeline::write_out(const Transform& t, float* out) {
  normalizer_.set(t.normalize);
  normalizer_.apply(pixels_.data(), std::int64_t{t.size} * t.size, out);
}

void ImagePipeline::load(std::span<const std::uint8_t> bytes, const std::string& name, const Transform& t, Rng& rng,
                         float* out) {
  render(bytes, name, t, rng);
  write_out(t, out);
}

void ImagePipeline::load(const std::string& path, const Transform& t, Rng& rng, float* out) {
  ImageView whole;
  const ImageSize image = open_placed(path, t, rng, whole);
  render_placed(image, t, whole.data ? &whole : nullptr);
  write_out(t, out);
}

void ImagePipeline::load_part(const std::string& path, const Transform& t, Rng& rng, PixelPart& out) {
  ImageView whole;
  const ImageSize image = open_placed(path, t, rng, whole);
  const Placement& p = placement_;
  const Rect window = existing(p, t.size), source = source_of(image, window, whole.data != nullptr);
  out.top = window.top - p.top;
  out.left = column_of(p, t.size, window);
  const ImageView pixels = whole.data ? whole.part(source) : reader_.read(source);
  const auto bytes = [](std::int64_t height, std::int64_t width) {
    return static_cast<std::size_t>(3 * height * width);
  };
  if (bytes(source.height, source.width) > part_limit * bytes(t.size, t.size)) {
    out.rgb.resize(bytes(window.height, window.width));
    resizer_.run(pixels, p.flip, out.rgb.data());
    unchanged(window.width, out.x);
    unchanged(window.height, out.y);
    out.rows = window.height, out.cols = window.width, out.flip = false;
    return;
  }
  copy_rows(pixels, out.rgb);
  resizer_.tables(out.x, out.y);
  out.rows = source.height, out.cols = source.width, out.flip = p.flip;
}

Image ImagePipeline::load_pixels(std::span<const std::uint8_t> bytes, const std::string& name, const Transform& t,
                                 Rng& rng) {
  render(bytes, name, t, rng);
  return {t.size, t.size, pixels_};
}

}  // namespace pen
