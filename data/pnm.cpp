// Portable bitmaps, graymaps and pixmaps, P1 to P6 (netpbm), scaled to 8 bits as Pillow scales them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "data/decoders.h"

namespace pen::codec {
namespace {

bool is_space(std::uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Walks over the text part of a file.
class Scanner {
 public:
  Scanner(Bytes bytes, const std::string& name) : bytes_(bytes), name_(name) {}
  std::size_t position() const { return at_; }
  // The next number; one character after it is consumed too (the single space before binary data).
  std::uint32_t number() {
    skip_space();
    std::uint32_t value = 0;
    int digits = 0;
    for (; at_ < bytes_.size() && bytes_[at_] >= '0' && bytes_[at_] <= '9'; ++at_, ++digits) {
      if (digits == 9) refuse(name_, "a number in it is too long");
      value = value * 10 + (bytes_[at_] - '0');
    }
    if (digits == 0) bad();
    if (at_ < bytes_.size() && !is_space(bytes_[at_]) && bytes_[at_] != '#') bad();
    if (at_ < bytes_.size() && is_space(bytes_[at_])) ++at_;
    return value;
  }
  // The next 0 or 1 of a plain bitmap, where digits need no space between them.
  bool bit() {
    skip_space();
    if (at_ >= bytes_.size() || (bytes_[at_] != '0' && bytes_[at_] != '1')) bad();
    return bytes_[at_++] == '1';
  }

 private:
  void skip_space() {
    while (at_ < bytes_.size() && (is_space(bytes_[at_]) || bytes_[at_] == '#')) {
      if (bytes_[at_] == '#')
        while (at_ < bytes_.size() && bytes_[at_] != '\n' && bytes_[at_] != '\r') ++at_;
      else
        ++at_;
    }
  }
  [[noreturn]] void bad() const {
    refuse(name_, at_ >= bytes_.size() ? std::string("it is truncated: the data ends before the image does")
                                       : str("byte ", at_, " is not part of a number"));
  }
  Bytes bytes_;
  const std::string& name_;
  std::size_t at_ = 2;  // behind the magic number
};

// Sample values to 8 bits: round(v / maxval * 255), halves to even. Gray of more than 8 bits is an image of 16-bit
// integers to Pillow, and convert("RGB") clips those at 255.
std::vector<std::uint8_t> scale_table(std::uint32_t maxval, bool gray) {
  const double top = gray && maxval > 255 ? 65535 : 255;
  std::vector<std::uint8_t> table(maxval + 1);
  for (std::uint32_t v = 0; v <= maxval; ++v)
    table[v] = static_cast<std::uint8_t>(std::min(255.0, std::nearbyint(double(v) / double(maxval) * top)));
  return table;
}

}  // namespace

void decode_pnm(Bytes b, const std::string& name, const DecodeLimits& limits, Image& out) {
  const char kind = static_cast<char>(b[1]);
  const bool bitmap = kind == '1' || kind == '4', plain = kind <= '3', gray = kind == '2' || kind == '5';
  Scanner text(b, name);
  const std::int64_t width = text.number(), height = text.number();
  check_size(height, width, name, limits);
  const std::uint32_t maxval = bitmap ? 1 : text.number();
  if (maxval == 0 || maxval > 65535) refuse(name, str("its largest value, ", maxval, ", is not in 1..65535"));

  const std::uint64_t w = static_cast<std::uint64_t>(width), h = static_cast<std::uint64_t>(height);
  const std::uint64_t samples = w * h * (gray || bitmap ? 1 : 3), sample_bytes = maxval > 255 ? 2 : 1;
  // a plain file has at least one character for each sample
  const std::uint64_t least = plain ? samples : bitmap ? (w + 7) / 8 * h : samples * sample_bytes;
  if (b.size() - text.position() < least) refuse(name, "it is truncated: the data ends before the image does");
  allocate(out, height, width);
  std::uint8_t* rgb = out.rgb.data();
  const std::uint8_t* in = b.data() + text.position();
  if (bitmap) {  // 1 is black
    for (std::uint64_t y = 0; y < h; ++y, in += (w + 7) / 8)
      for (std::uint64_t x = 0; x < w; ++x, rgb += 3)
        std::memset(rgb, (plain ? text.bit() : (in[x / 8] >> (7 - x % 8)) & 1) ? 0 : 255, 3);
    return;
  }
  const std::vector<std::uint8_t> table = scale_table(maxval, gray);
  for (std::uint64_t i = 0; i < samples; ++i) {
    std::uint32_t v = 0;
    if (plain) {
      v = text.number();
      if (v > maxval) refuse(name, str("a value in it, ", v, ", is above its largest value ", maxval));
    } else {
      v = sample_bytes == 1 ? in[i] : static_cast<std::uint32_t>(in[2 * i] << 8 | in[2 * i + 1]);
      v = std::min(v, maxval);
    }
    if (gray) {
      std::memset(rgb, table[v], 3);
      rgb += 3;
    } else {
      *rgb++ = table[v];
    }
  }
}

}  // namespace pen::codec
