#include "data/image.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "data/decoders.h"
#include "data/jpeg.h"

namespace pen {
namespace codec {

void refuse(const std::string& name, const std::string& reason) {
  fail(ErrorKind::data, str("cannot decode '", name, "': ", reason));
}

void check_size(std::int64_t height, std::int64_t width, const std::string& name, const DecodeLimits& limits) {
  // A side beyond this is no picture, and would make the tables of a resize as large as a bomb.
  constexpr std::int64_t longest = 1 << 20;
  if (height <= 0 || width <= 0 || height > longest || width > longest)
    refuse(name, str("its size, ", width, "x", height, ", makes no image"));
  if (height * width > limits.max_pixels)
    refuse(name, str("it has ", width, "x", height, " pixels, more than the ", limits.max_pixels, " allowed"));
}

void allocate(Image& out, std::int64_t height, std::int64_t width) {
  out.height = static_cast<int>(height);
  out.width = static_cast<int>(width);
  out.rgb.resize(static_cast<std::size_t>(height * width * 3));
}

void cmyk_to_rgb(const std::uint8_t* cmyk, std::int64_t pixels, std::uint8_t* rgb) {
  for (std::int64_t i = 0; i < pixels; ++i) {
    const int light = 255 - cmyk[4 * i + 3];
    for (int c = 0; c < 3; ++c) {
      const int product = cmyk[4 * i + c] * light + 128;  // /255, rounded
      rgb[3 * i + c] = static_cast<std::uint8_t>(std::max(0, light - (((product >> 8) + product) >> 8)));
    }
  }
}

}  // namespace codec

ImageFormat image_format(std::span<const std::uint8_t> b) {
  const auto starts = [&](const char* magic, std::size_t size, std::size_t at = 0) {
    return b.size() >= at + size && std::memcmp(b.data() + at, magic, size) == 0;
  };
  if (starts("\xff\xd8\xff", 3)) return ImageFormat::jpeg;
  if (starts("\x89PNG\r\n\x1a\n", 8)) return ImageFormat::png;
  if (starts("RIFF", 4) && starts("WEBP", 4, 8)) return ImageFormat::webp;
  if (starts("II*\0", 4) || starts("MM\0*", 4) || starts("II+\0", 4) || starts("MM\0+", 4)) return ImageFormat::tiff;
  if (starts("BM", 2)) return ImageFormat::bmp;
  if (starts("GIF8", 4)) return ImageFormat::gif;
  if (b.size() >= 3 && b[0] == 'P' && b[1] >= '1' && b[1] <= '6' && std::strchr(" \t\n\v\f\r#", b[2]))
    return ImageFormat::pnm;
  return ImageFormat::unknown;
}

struct ImageReader::State {
  explicit State(const DecodeLimits& bounds) : limits(bounds), jpeg(bounds) {}
  DecodeLimits limits;
  codec::JpegReader jpeg;
  bool is_jpeg = false;
  ImageSize size;
  Image whole;  // the formats that are decoded by open()
};

ImageReader::ImageReader(DecodeLimits limits) : state_(std::make_unique<State>(limits)) {}
ImageReader::~ImageReader() = default;
ImageReader::ImageReader(ImageReader&&) noexcept = default;
ImageReader& ImageReader::operator=(ImageReader&&) noexcept = default;

ImageSize ImageReader::open(std::span<const std::uint8_t> bytes, const std::string& name) {
  State& s = *state_;
  s.size = {};
  if (bytes.empty()) codec::refuse(name, "the file is empty");
  const ImageFormat format = image_format(bytes);
  s.is_jpeg = format == ImageFormat::jpeg;
  switch (format) {
    case ImageFormat::jpeg:
      return s.size = s.jpeg.open(bytes, name);
    case ImageFormat::png:
      codec::decode_png(bytes, name, s.limits, s.whole);
      break;
    case ImageFormat::webp:
      codec::decode_webp(bytes, name, s.limits, s.whole);
      break;
    case ImageFormat::tiff:
      codec::decode_tiff(bytes, name, s.limits, s.whole);
      break;
    case ImageFormat::bmp:
      codec::decode_bmp(bytes, name, s.limits, s.whole);
      break;
    case ImageFormat::pnm:
      codec::decode_pnm(bytes, name, s.limits, s.whole);
      break;
    case ImageFormat::gif:
      codec::refuse(name, "it is a GIF, which is not supported; convert it to PNG");
    case ImageFormat::unknown:
      codec::refuse(name, "it is no image of a known format (JPEG, PNG, WebP, TIFF, BMP, PNM)");
  }
  return s.size = {s.whole.height, s.whole.width};
}

ImageSize ImageReader::shrink(int factor) {
  State& s = *state_;
  PEN_CHECK(factor == 2 || factor == 4 || factor == 8, "ImageReader::shrink: ", factor, " is not 2, 4 or 8");
  return s.size = s.is_jpeg ? s.jpeg.shrink(factor) : s.size;
}

ImageView ImageReader::read(const Rect& part) {
  State& s = *state_;
  PEN_CHECK(part.top >= 0 && part.left >= 0 && part.height > 0 && part.width > 0 &&
                part.height <= s.size.height - part.top && part.width <= s.size.width - part.left,
            "ImageReader::read: ", part.width, "x", part.height, " at (", part.left, ",", part.top,
            ") is not inside the image of ", s.size.width, "x", s.size.height);
  return s.is_jpeg ? s.jpeg.read(part) : ImageView(s.whole).part(part);
}

Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name, const DecodeLimits& limits) {
  ImageReader reader(limits);
  const ImageSize size = reader.open(bytes, name);
  const ImageView view = reader.read({0, 0, size.height, size.width});
  Image out;
  codec::allocate(out, size.height, size.width);
  const std::size_t row = std::size_t{3} * static_cast<std::size_t>(size.width);
  for (int y = 0; y < size.height; ++y) std::memcpy(out.rgb.data() + row * y, view.data + view.stride * y, row);
  return out;
}

Image read_image(const std::string& path, const DecodeLimits& limits) {
  return decode_image(read_file(path, limits.max_bytes), path, limits);
}

}  // namespace pen
