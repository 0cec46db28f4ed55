#include "data/image.h"

#include <cstring>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pen;
  // Small, so that time goes into variety; bounds work the same at any size.
  constexpr DecodeLimits limits{.max_pixels = 1 << 16, .max_bytes = 1 << 20};
  static ImageReader reader(limits);  // its buffers are kept between files, as in use
  const auto middle = [](ImageSize s) {
    return Rect{s.height / 3, s.width / 4, s.height - s.height / 2, s.width - s.width / 2};
  };
  // A part alone: of a damaged file it may be there although the whole is not.
  fuzz::run(ErrorKind::data, data, size, [&](std::span<const std::uint8_t> bytes) {
    const ImageSize whole = reader.open(bytes, "x");
    fuzz::must(whole.height >= 1 && whole.width >= 1, "an image has pixels");
    fuzz::must(std::int64_t{whole.height} * whole.width <= limits.max_pixels, "sizes are bounded");
    const Rect part = middle(whole);
    const ImageView view = reader.read(part);
    fuzz::must(view.height == part.height && view.width == part.width, "the part asked for");
    unsigned sum = 0;
    for (int y = 0; y < view.height; ++y)
      for (int x = 0; x < 3 * view.width; ++x) sum += view.data[y * view.stride + x];
    fuzz::must(sum <= 255u * 3u * (1u << 16), "bytes can be read");
  });
  return fuzz::run(ErrorKind::data, data, size, [&](std::span<const std::uint8_t> bytes) {
    const Image image = decode_image(bytes, "x", limits);
    const std::size_t row = std::size_t{3} * static_cast<std::size_t>(image.width);
    fuzz::must(image.rgb.size() == row * static_cast<std::size_t>(image.height), "three bytes a pixel");
    // what decodes as a whole decodes in parts, to the same pixels, whatever the reader read before
    const ImageSize again = reader.open(bytes, "x");
    fuzz::must(again.height == image.height && again.width == image.width, "the header's size is the image's");
    const Rect part = middle(again);
    const ImageView view = reader.read(part), want = ImageView(image).part(part);
    for (int y = 0; y < part.height; ++y)
      fuzz::must(std::memcmp(view.data + y * view.stride, want.data + y * want.stride,
                             std::size_t{3} * static_cast<std::size_t>(part.width)) == 0,
                 "a part equals that part of the whole");
  });
}
