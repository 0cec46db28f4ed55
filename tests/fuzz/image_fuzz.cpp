#include "data/image.h"

#include <cstring>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pen;
  // large enough for every path of the decoders, small enough for many runs a second
  static const DecodeLimits limits{.max_pixels = 1 << 18, .max_bytes = 1 << 20};
  static ImageReader reader(limits);  // kept between files, as in use
  return fuzz::run(ErrorKind::data, data, size, [](std::span<const std::uint8_t> bytes) {
    const Image image = decode_image(bytes, "fuzz", limits);
    fuzz::must(image.height > 0 && image.width > 0, "there are pixels");
    fuzz::must(std::int64_t{image.height} * image.width <= limits.max_pixels, "the limit holds");
    fuzz::must(image.rgb.size() == std::size_t{3} * image.height * image.width, "the buffer fits");
    // what decodes as a whole decodes in parts, to the same pixels
    const Rect part{image.height / 3, image.width / 4, image.height - image.height / 3 - image.height / 4,
                    image.width - image.width / 4 - image.width / 5};
    const ImageSize opened = reader.open(bytes, "fuzz");
    fuzz::must(opened.height == image.height && opened.width == image.width, "the header's size is the image's");
    const ImageView view = reader.read(part), want = ImageView(image).part(part);
    for (int y = 0; y < part.height; ++y)
      fuzz::must(std::memcmp(view.data + y * view.stride, want.data + y * want.stride,
                             std::size_t{3} * static_cast<std::size_t>(part.width)) == 0,
                 "a part equals that part of the whole");
  });
}
