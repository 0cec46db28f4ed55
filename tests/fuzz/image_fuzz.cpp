#include "data/image.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pen;
  // Small, so that time goes into variety; bounds work the same at any size.
  constexpr DecodeLimits limits{.max_pixels = 1 << 16, .max_bytes = 1 << 20};
  static ImageReader reader(limits);  // its buffers are kept between files, as in use
  fuzz::run(ErrorKind::data, data, size, [&](std::span<const std::uint8_t> bytes) {
    const ImageSize whole = reader.open(bytes, "x");
    fuzz::must(whole.height >= 1 && whole.width >= 1, "an image has pixels");
    fuzz::must(std::int64_t{whole.height} * whole.width <= limits.max_pixels, "sizes are bounded");
    const Rect part{whole.height / 3, whole.width / 4, whole.height - whole.height / 2, whole.width - whole.width / 2};
    const ImageView view = reader.read(part);
    fuzz::must(view.height == part.height && view.width == part.width, "the part asked for");
    unsigned sum = 0;
    for (int y = 0; y < view.height; ++y)
      for (int x = 0; x < 3 * view.width; ++x) sum += view.data[y * view.stride + x];
    fuzz::must(sum <= 255u * 3u * (1u << 16), "bytes can be read");
  });
  return fuzz::run(ErrorKind::data, data, size, [&](std::span<const std::uint8_t> bytes) {
    const Image image = decode_image(bytes, "x", limits);
    fuzz::must(image.rgb.size() ==
                   std::size_t{3} * static_cast<std::size_t>(image.height) * static_cast<std::size_t>(image.width),
               "three bytes a pixel");
  });
}
