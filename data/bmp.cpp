// Windows and OS/2 bitmaps: the variants that Pillow reads, run-length coded ones left out.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "data/decoders.h"

namespace pen::codec {
namespace {

std::uint32_t u16(const std::uint8_t* p) { return p[0] | static_cast<std::uint32_t>(p[1]) << 8; }
std::uint32_t u32(const std::uint8_t* p) { return u16(p) | u16(p + 2) << 16; }

struct Header {
  std::uint32_t offset = 0;  // of the pixels
  std::int64_t width = 0, height = 0;
  bool top_down = false;
  std::uint32_t bits = 0;
  std::array<std::uint32_t, 3> masks{};  // of red, green, blue; 16 and 32 bits only
  std::array<std::array<std::uint8_t, 3>, 256> palette{};
};

Header read_header(Bytes b, const std::string& name) {
  const auto need = [&](std::uint64_t size) {
    if (b.size() < size) refuse(name, "it is truncated: the data ends inside the header");
  };
  need(18);
  Header h;
  h.offset = u32(&b[10]);
  const std::uint32_t size = u32(&b[14]);
  std::uint32_t compression = 0, colours = 0;
  std::uint64_t palette_at = std::uint64_t{14} + size, entry = 4;
  if (size == 12) {
    need(26);
    h.width = u16(&b[18]);
    h.height = u16(&b[20]);
    h.bits = u16(&b[24]);
    entry = 3;
  } else if (size == 40 || size == 52 || size == 56 || size == 64 || size == 108 || size == 124) {
    need(std::uint64_t{14} + size);
    h.width = static_cast<std::int32_t>(u32(&b[18]));
    h.height = static_cast<std::int32_t>(u32(&b[22]));
    h.top_down = h.height < 0;
    h.height = h.top_down ? -h.height : h.height;
    h.bits = u16(&b[28]);
    compression = u32(&b[30]);
    colours = u32(&b[46]);
  } else {
    refuse(name, str("a BMP header of ", size, " bytes is not supported"));
  }
  if (h.bits == 16) h.masks = {0x7c00, 0x3e0, 0x1f};
  if (h.bits == 32) h.masks = {0xff0000, 0xff00, 0xff};
  if (compression == 3 && (h.bits == 16 || h.bits == 32)) {
    need(66);  // right behind a header of 40 bytes, inside a longer one
    const std::array<std::uint32_t, 3> masks{u32(&b[54]), u32(&b[58]), u32(&b[62])};
    if (masks[0] || masks[1] || masks[2]) h.masks = masks;  // all zero means the default
    if (size == 40) palette_at += 12;
  } else if (compression != 0 && !(compression == 3 && h.bits == 24)) {
    refuse(name, str("a BMP of compression ", compression, " is not supported; convert it to PNG"));
  }
  if (h.bits == 1 || h.bits == 4 || h.bits == 8) {
    const std::uint32_t count = std::min(colours ? colours : 1u << h.bits, 256u);
    need(palette_at + entry * count);
    // Pillow's palette starts as a grey ramp, which entries beyond the file's own keep
    for (std::size_t i = 0; i < 256; ++i) h.palette[i].fill(static_cast<std::uint8_t>(i));
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint8_t* p = &b[palette_at + entry * i];
      h.palette[i] = {p[2], p[1], p[0]};
    }
    if (h.offset == 0) h.offset = static_cast<std::uint32_t>(palette_at + entry * count);
  } else if (h.bits != 16 && h.bits != 24 && h.bits != 32) {
    refuse(name, str("a BMP of ", h.bits, " bits is not supported"));
  }
  if (h.offset == 0) h.offset = static_cast<std::uint32_t>(palette_at);
  return h;
}

// The sample under a mask of adjacent bits, brought to 0..255.
std::uint8_t sample(std::uint32_t pixel, std::uint32_t mask, int shift) {
  return static_cast<std::uint8_t>(std::uint64_t{(pixel & mask) >> shift} * 255 / (mask >> shift));
}

}  // namespace

void decode_bmp(Bytes b, const std::string& name, const DecodeLimits& limits, Image& out) {
  const Header h = read_header(b, name);
  check_size(h.height, h.width, name, limits);
  std::array<int, 3> shifts{};
  if (h.bits == 16 || h.bits == 32) {
    for (std::size_t c = 0; c < 3; ++c) {
      if (h.masks[c] == 0) refuse(name, "its BMP bit fields are empty");
      while (!((h.masks[c] >> shifts[c]) & 1)) ++shifts[c];
    }
  }
  const std::uint64_t width = static_cast<std::uint64_t>(h.width), height = static_cast<std::uint64_t>(h.height);
  const std::uint64_t stride = (width * h.bits + 31) / 32 * 4;
  const std::uint64_t last_row = (width * h.bits + 7) / 8;  // the padding of the last row may be missing
  if (b.size() < h.offset || b.size() - h.offset < stride * (height - 1) + last_row)
    refuse(name, "it is truncated: the data ends before the image does");
  allocate(out, h.height, h.width);
  for (std::uint64_t y = 0; y < height; ++y) {
    const std::uint8_t* in = b.data() + h.offset + stride * (h.top_down ? y : height - 1 - y);
    std::uint8_t* rgb = out.rgb.data() + 3 * width * y;
    for (std::uint64_t x = 0; x < width; ++x, rgb += 3) {
      if (h.bits <= 8) {
        const std::uint64_t bit = x * h.bits;
        const unsigned index = (in[bit / 8] >> (8 - h.bits - bit % 8)) & ((1u << h.bits) - 1);
        std::memcpy(rgb, h.palette[index].data(), 3);
      } else if (h.bits == 24) {
        rgb[0] = in[3 * x + 2];
        rgb[1] = in[3 * x + 1];
        rgb[2] = in[3 * x];
      } else {
        const std::uint32_t pixel = h.bits == 16 ? u16(in + 2 * x) : u32(in + 4 * x);
        for (std::size_t c = 0; c < 3; ++c) rgb[c] = sample(pixel, h.masks[c], shifts[c]);
      }
    }
  }
}

}  // namespace pen::codec
