// TIFF by libtiff: the first image of the file, in the variants that Pillow turns into RGB.
#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "data/decoders.h"

namespace pen::codec {
namespace {

// libtiff reads "files" through these; the errors that it would print are kept.
struct Input {
  Bytes bytes;
  std::uint64_t at = 0;
  char reason[256] = {};
};

Input& input_of(thandle_t handle) { return *static_cast<Input*>(handle); }

tmsize_t on_read(thandle_t handle, void* out, tmsize_t size) {
  Input& in = input_of(handle);
  const std::uint64_t left = in.at < in.bytes.size() ? in.bytes.size() - in.at : 0;
  const std::uint64_t n = std::min(left, static_cast<std::uint64_t>(std::max<tmsize_t>(size, 0)));
  if (n) std::memcpy(out, in.bytes.data() + in.at, n);
  in.at += n;
  return static_cast<tmsize_t>(n);
}
tmsize_t on_write(thandle_t, void*, tmsize_t) { return -1; }
toff_t on_seek(thandle_t handle, toff_t offset, int whence) {
  Input& in = input_of(handle);
  in.at = offset + (whence == SEEK_CUR ? in.at : whence == SEEK_END ? in.bytes.size() : 0);
  return in.at;
}
int on_close(thandle_t) { return 0; }
toff_t on_size(thandle_t handle) { return input_of(handle).bytes.size(); }
int on_map(thandle_t, void**, toff_t*) { return 0; }
void on_unmap(thandle_t, void*, toff_t) {}

int on_error(TIFF*, void* user, const char*, const char* format, va_list arguments) {
  auto& in = *static_cast<Input*>(user);
  if (!in.reason[0]) std::vsnprintf(in.reason, sizeof in.reason, format, arguments);
  return 1;
}
int on_warning(TIFF*, void*, const char*, const char*, va_list) { return 1; }

struct Close {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};
using File = std::unique_ptr<TIFF, Close>;

File open_tiff(Input& input) {
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(),
                                                                             TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), on_error, &input);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), on_warning, &input);
  return File(TIFFClientOpenExt("image", "rm", &input, on_read, on_write, on_seek, on_close, on_size, on_map, on_unmap,
                                options.get()));
}

struct Layout {
  std::uint32_t width = 0, height = 0;
  std::uint16_t bits = 1, samples = 1, photometric = PHOTOMETRIC_MINISBLACK, planar = PLANARCONFIG_CONTIG;
  std::uint16_t *red = nullptr, *green = nullptr, *blue = nullptr;  // a palette, 16 bits
  bool premultiplied = false;
};

Layout read_layout(TIFF* tiff, const std::string& name, const DecodeLimits& limits) {
  Layout l;
  if (!TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &l.width) || !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &l.height))
    refuse(name, "its TIFF header has no size");
  check_size(l.height, l.width, name, limits);
  std::uint16_t format = SAMPLEFORMAT_UINT, compression = COMPRESSION_NONE, extra_count = 0;
  std::uint16_t* extra = nullptr;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &l.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &l.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &l.planar);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &compression);
  if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &extra_count, &extra) && extra_count > 0)
    l.premultiplied = extra[0] == EXTRASAMPLE_ASSOCALPHA;
  if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &l.photometric)) l.photometric = PHOTOMETRIC_MINISWHITE;
  if (l.photometric == PHOTOMETRIC_YCBCR && compression == COMPRESSION_JPEG) {
    TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);  // libjpeg converts while it decodes
    l.photometric = PHOTOMETRIC_RGB;
  }
  const bool gray = l.photometric == PHOTOMETRIC_MINISWHITE || l.photometric == PHOTOMETRIC_MINISBLACK;
  const bool palette = l.photometric == PHOTOMETRIC_PALETTE, rgb = l.photometric == PHOTOMETRIC_RGB;
  const bool cmyk = l.photometric == PHOTOMETRIC_SEPARATED;
  const bool small = l.bits == 1 || l.bits == 2 || l.bits == 4;
  const bool known =
      format == SAMPLEFORMAT_UINT && l.samples >= 1 && l.samples <= 6 &&
      ((gray && ((small && l.samples == 1) || (l.bits == 8 && l.samples <= 2))) ||
       (l.photometric == PHOTOMETRIC_MINISBLACK && l.bits == 16 && l.samples == 1) ||
       (palette && (small || l.bits == 8) && l.samples == 1) ||
       (rgb && (l.bits == 8 || l.bits == 16) && l.samples >= 3) || (cmyk && l.bits == 8 && l.samples >= 4));
  if (!known || l.premultiplied)
    refuse(name, str("a TIFF of ", l.samples, " samples of ", l.bits, " bits, photometric ", l.photometric,
                     l.premultiplied ? ", premultiplied alpha" : "", " is not supported; convert it to PNG"));
  if (palette && !TIFFGetField(tiff, TIFFTAG_COLORMAP, &l.red, &l.green, &l.blue))
    refuse(name, "its TIFF palette is missing");
  return l;
}

// One row of samples (interleaved, 8 bits, or `bits` packed) to RGB.
void row_to_rgb(const Layout& l, const std::uint8_t* in, std::uint8_t* rgb) {
  const unsigned top = (1u << std::min<unsigned>(l.bits, 8)) - 1;
  for (std::uint64_t x = 0; x < l.width; ++x, rgb += 3) {
    if (l.photometric == PHOTOMETRIC_RGB) {
      std::memcpy(rgb, in + x * l.samples, 3);
    } else if (l.photometric == PHOTOMETRIC_SEPARATED) {
      cmyk_to_rgb(in + x * l.samples, 1, rgb);
    } else {
      const std::uint64_t bit = x * l.bits * l.samples;
      const unsigned v = l.bits >= 8 ? in[x * l.samples] : (in[bit / 8] >> (8 - l.bits - bit % 8)) & top;
      if (l.photometric == PHOTOMETRIC_PALETTE) {
        rgb[0] = static_cast<std::uint8_t>(l.red[v] >> 8);
        rgb[1] = static_cast<std::uint8_t>(l.green[v] >> 8);
        rgb[2] = static_cast<std::uint8_t>(l.blue[v] >> 8);
      } else {
        const unsigned gray = v * 255 / top;
        std::memset(rgb, static_cast<int>(l.photometric == PHOTOMETRIC_MINISWHITE ? 255 - gray : gray), 3);
      }
    }
  }
}

// Reads strips or tiles of one plane and hands over their rows: place(y, x, row, pixels).
template <class Place>
void read_plane(TIFF* tiff, const Layout& l, std::uint16_t plane, Input& input, const std::string& name, Place place) {
  const auto failed = [&](tmsize_t got, tmsize_t want) {
    if (got < want) refuse(name, input.reason[0] ? input.reason : "its TIFF data is truncated or corrupt");
  };
  const bool tiled = TIFFIsTiled(tiff);
  std::uint32_t tile_width = l.width, tile_height = l.height;
  if (tiled) {
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &tile_width);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &tile_height);
  } else {
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &tile_height);
    tile_height = std::min(tile_height, l.height);
  }
  const tmsize_t size = tiled ? TIFFTileSize(tiff) : TIFFStripSize(tiff);
  const tmsize_t row = tiled ? TIFFTileRowSize(tiff) : TIFFScanlineSize(tiff);
  // a tile may be larger than the image, but not so much that it is a bomb of its own
  if (tile_width == 0 || tile_height == 0 || size <= 0 || row <= 0 || size > (tmsize_t{1} << 31))
    refuse(name, "the sizes of its TIFF tiles make no sense");
  std::vector<std::uint8_t> buffer(static_cast<std::size_t>(size));
  for (std::uint32_t y = 0; y < l.height; y += tile_height) {
    const std::uint32_t rows = std::min(tile_height, l.height - y);
    for (std::uint32_t x = 0; x < l.width; x += tile_width) {
      if (tiled) {
        failed(TIFFReadEncodedTile(tiff, TIFFComputeTile(tiff, x, y, 0, plane), buffer.data(), size), size);
      } else {
        const tmsize_t want = row * static_cast<tmsize_t>(rows);
        failed(TIFFReadEncodedStrip(tiff, TIFFComputeStrip(tiff, y, plane), buffer.data(), want), want);
      }
      const std::uint32_t columns = std::min(tile_width, l.width - x);
      for (std::uint32_t r = 0; r < rows; ++r)
        place(y + r, x, buffer.data() + static_cast<std::size_t>(row) * r, columns);
      if (tile_width > l.width - x) break;
    }
    if (tile_height > l.height - y) break;
  }
}

// Pillow turns a TIFF by its orientation tag (and a JPEG not).
void orient(Image& image, std::uint16_t orientation) {
  if (orientation < 2 || orientation > 8) return;
  const bool swap = orientation >= 5;
  const int h = image.height, w = image.width;
  Image turned;
  allocate(turned, swap ? w : h, swap ? h : w);
  for (int y = 0; y < turned.height; ++y) {
    for (int x = 0; x < turned.width; ++x) {
      int sy = swap ? x : y, sx = swap ? y : x;
      if (orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8) {
        if (swap)
          sx = w - 1 - sx;
        else
          sy = h - 1 - sy;
      }
      if (orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7) {
        if (swap)
          sy = h - 1 - sy;
        else
          sx = w - 1 - sx;
      }
      std::memcpy(&turned.rgb[3 * (static_cast<std::size_t>(y) * turned.width + x)],
                  &image.rgb[3 * (static_cast<std::size_t>(sy) * w + sx)], 3);
    }
  }
  image = std::move(turned);
}

}  // namespace

void decode_tiff(Bytes bytes, const std::string& name, const DecodeLimits& limits, Image& out) {
  Input input{bytes, 0, {}};
  const File file = open_tiff(input);
  if (!file) refuse(name, input.reason[0] ? input.reason : "its TIFF header is corrupt");
  TIFF* tiff = file.get();
  const Layout l = read_layout(tiff, name, limits);
  // All samples are brought to whole rows of interleaved bytes first; packed samples (fewer than 8 bits) stay packed.
  const bool packed = l.bits < 8;
  const bool separate = l.planar == PLANARCONFIG_SEPARATE && l.samples > 1;
  const std::size_t sample_bytes = l.bits == 16 ? 2 : 1;
  // Of 16-bit colours Pillow takes the high byte; 16-bit gray it reads as integers, which convert("RGB") clips at 255.
  // libtiff gives native order.
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  const auto byte_of = [&](const std::uint8_t* sample) -> std::uint8_t {
    if (sample_bytes == 1) return sample[0];
    if (l.photometric == PHOTOMETRIC_RGB) return sample[1];
    return sample[1] ? 255 : sample[0];
  };
  const std::size_t row_bytes =
      packed ? (std::size_t{l.width} * l.bits * l.samples + 7) / 8 : std::size_t{l.width} * l.samples;
  if (packed && TIFFIsTiled(tiff) && l.width % 8 != 0) {
    std::uint32_t tile_width = 0;
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &tile_width);
    if (tile_width % 8 != 0) refuse(name, "its TIFF tiles are not of whole bytes");
  }
  std::vector<std::uint8_t> samples(row_bytes * l.height);
  for (std::uint16_t plane = 0; plane < (separate ? l.samples : 1); ++plane) {
    read_plane(tiff, l, plane, input, name, [&](std::size_t y, std::size_t x, const std::uint8_t* row, std::size_t n) {
      std::uint8_t* to = samples.data() + row_bytes * y;
      if (packed) {
        std::memcpy(to + x * l.bits / 8, row, (n * l.bits + 7) / 8);
      } else if (separate) {
        for (std::size_t i = 0; i < n; ++i) to[(x + i) * l.samples + plane] = byte_of(row + i * sample_bytes);
      } else {
        for (std::size_t i = 0; i < n * l.samples; ++i) to[x * l.samples + i] = byte_of(row + i * sample_bytes);
      }
    });
  }
  allocate(out, l.height, l.width);
  for (std::size_t y = 0; y < l.height; ++y)
    row_to_rgb(l, samples.data() + row_bytes * y, out.rgb.data() + std::size_t{3} * l.width * y);
  std::uint16_t orientation = ORIENTATION_TOPLEFT;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &orientation);
  orient(out, orientation);
}

}  // namespace pen::codec
