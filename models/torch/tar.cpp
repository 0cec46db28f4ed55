#include "models/torch/tar.h"

#include <algorithm>
#include <array>

namespace pen::torch {
namespace {

constexpr std::uint64_t block = 512;
using Header = std::array<std::uint8_t, block>;

std::string field(const Header& h, std::size_t at, std::size_t n) {
  std::string out;
  for (std::size_t i = at; i < at + n && h[i] != 0; ++i) out.push_back(static_cast<char>(h[i]));
  return out;
}

// Octal digits, spaces or zeros around them; -1 if it is anything else.
std::int64_t octal(const Header& h, std::size_t at, std::size_t n) {
  std::string text = field(h, at, n);
  while (!text.empty() && text.back() == ' ') text.pop_back();
  text.erase(0, std::min(text.find_first_not_of(' '), text.size()));
  if (text.empty() || text.size() > 12) return -1;
  std::int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '7') return -1;
    value = value * 8 + (c - '0');
  }
  return value;
}

bool checksum_fits(const Header& h) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < block; ++i) sum += i >= 148 && i < 156 ? ' ' : h[i];
  return octal(h, 148, 8) == sum;
}

}  // namespace

bool looks_like_tar(const Source& source) {
  if (source.size() < 263) return false;
  char magic[5];
  source.read(257, magic, 5);
  return std::string_view(magic, 5) == "ustar";
}

std::vector<TarMember> read_tar_members(const Source& source) {
  constexpr std::size_t most = 1000;
  std::vector<TarMember> out;
  std::size_t headers = 0;
  for (std::uint64_t at = 0; at < source.size();) {
    Cursor in(source, "tar header", at, source.size());
    in.need(block, "a tar header");
    Header h;
    in.bytes(h.data(), block);
    if (std::all_of(h.begin(), h.end(), [](std::uint8_t b) { return b == 0; })) return out;  // the end mark
    if (++headers > most) in.refuse(at, str("more than ", most, " members"));
    if (!checksum_fits(h)) in.refuse(at, "a tar header with a wrong checksum");
    const std::int64_t size = octal(h, 124, 12);
    if (size < 0) in.refuse(at, "a tar header without a size");
    const std::string name = field(h, 0, 100);
    const char type = static_cast<char>(h[156]);
    const std::string shown = "member '" + printable(name) + "'";
    if (type != '0' && type != 0 && type != 'x' && type != 'g' && type != '5')
      in.refuse(at, shown + " is a link or a device");
    const auto n = static_cast<std::uint64_t>(size);
    if (n > in.left())
      in.refuse(source.size(), str("the file ends here, ", shown, " goes on to byte ", in.at() + n, " (",
                                   in.at() + n - source.size(), " bytes are missing); the file is incomplete"));
    if (type == '0' || type == 0) {
      for (const TarMember& m : out)
        if (m.name == name) in.refuse(at, shown + " stands in the archive twice");
      out.push_back({name, in.at(), n});
    }
    const std::uint64_t padded = n + (block - n % block) % block;
    at = in.at() + std::min(padded, in.left());
  }
  return out;
}

}  // namespace pen::torch
