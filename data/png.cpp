// PNG by libpng.
#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

#include "data/decoders.h"

namespace pen::codec {
namespace {

struct Input {
  Bytes bytes;
  std::size_t at = 0;
  std::jmp_buf jump;
  char reason[256] = {};
};

[[noreturn]] void on_error(png_structp png, png_const_charp reason) {
  auto& input = *static_cast<Input*>(png_get_error_ptr(png));
  std::snprintf(input.reason, sizeof input.reason, "%s", reason);
  std::longjmp(input.jump, 1);
}
void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, std::size_t size) {
  auto& input = *static_cast<Input*>(png_get_io_ptr(png));
  if (size > input.bytes.size() - input.at) png_error(png, "it is truncated: the data ends before the image does");
  std::memcpy(out, input.bytes.data() + input.at, size);
  input.at += size;
}

// libpng leaves by longjmp: what it runs under may own nothing.
template <class Body>
[[gnu::noinline]] bool survives(Input& input, Body&& body) {
  if (setjmp(input.jump)) return false;
  body();
  return true;
}

struct Reader {
  explicit Reader(Input& input) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &input, on_error, on_warning);
    if (png) info = png_create_info_struct(png);
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  png_structp png = nullptr;
  png_infop info = nullptr;
};

// Pillow's palette starts as a grey ramp, which entries beyond the file's own keep.
void fill_palette(png_structp png, png_infop info, std::uint8_t (&palette)[256][3]) {
  for (int i = 0; i < 256; ++i) std::memset(palette[i], i, 3);
  png_colorp colours = nullptr;
  int count = 0;
  if (!png_get_PLTE(png, info, &colours, &count)) return;
  for (int i = 0; i < count && i < 256; ++i) {
    palette[i][0] = colours[i].red;
    palette[i][1] = colours[i].green;
    palette[i][2] = colours[i].blue;
  }
}

}  // namespace

void decode_png(Bytes bytes, const std::string& name, const DecodeLimits& limits, Image& out) {
  Input input{bytes, 0, {}, {}};
  Reader reader(input);
  if (!reader.info) refuse(name, "libpng could not start");
  png_structp png = reader.png;
  png_infop info = reader.info;
  png_set_read_fn(png, &input, on_read);
  png_set_user_limits(png, 1u << 30, 1u << 30);
  const auto guarded = [&](auto&& body) {
    if (!survives(input, body)) refuse(name, input.reason);
  };
  guarded([&] { png_read_info(png, info); });
  const std::int64_t height = png_get_image_height(png, info), width = png_get_image_width(png, info);
  check_size(height, width, name, limits);
  const int colour = png_get_color_type(png, info), depth = png_get_bit_depth(png, info);
  const bool is_palette = colour == PNG_COLOR_TYPE_PALETTE;
  const bool wide_gray = colour == PNG_COLOR_TYPE_GRAY && depth == 16;

  std::size_t row_bytes = 0;
  guarded([&] {
    // everything that follows works on samples of whole bytes
    if (depth < 8) {
      if (is_palette)
        png_set_packing(png);
      else
        png_set_expand_gray_1_2_4_to_8(png);
    }
    // Pillow reads 16-bit gray as integers, which convert("RGB") clips at 255; of all other 16-bit images it takes
    // the high bytes.
    if (depth == 16 && !wide_gray) png_set_strip_16(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    row_bytes = png_get_rowbytes(png, info);
  });
  const int channels = png_get_channels(png, info);
  const std::size_t pixel_bytes = static_cast<std::size_t>(channels) * (wide_gray ? 2 : 1);

  // An interlaced image is assembled from seven passes, so the raw rows are kept; others go through one row.
  const bool interlaced = png_get_interlace_type(png, info) != PNG_INTERLACE_NONE;
  std::vector<std::uint8_t> raw(row_bytes * static_cast<std::size_t>(interlaced ? height : 1));
  std::vector<png_bytep> rows;
  if (interlaced) {
    for (std::int64_t y = 0; y < height; ++y) rows.push_back(raw.data() + row_bytes * static_cast<std::size_t>(y));
    guarded([&] { png_read_image(png, rows.data()); });
  }
  std::uint8_t palette[256][3];
  if (is_palette) fill_palette(png, info, palette);
  allocate(out, height, width);
  std::uint8_t* rgb = out.rgb.data();
  for (std::int64_t y = 0; y < height; ++y) {
    const std::uint8_t* in = interlaced ? rows[static_cast<std::size_t>(y)] : raw.data();
    if (!interlaced) guarded([&] { png_read_row(png, raw.data(), nullptr); });
    for (std::int64_t x = 0; x < width; ++x, in += pixel_bytes, rgb += 3) {
      if (is_palette) {
        std::memcpy(rgb, palette[in[0]], 3);
      } else if (wide_gray) {
        std::memset(rgb, in[0] ? 255 : in[1], 3);
      } else if (channels <= 2) {  // gray, and alpha which is dropped
        std::memset(rgb, in[0], 3);
      } else {
        std::memcpy(rgb, in, 3);
      }
    }
  }
}

}  // namespace pen::codec
