#include "models/torch/text.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace pen::torch {
namespace {

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// n hexadecimal digits at `at`; -1 if they are not there.
std::int64_t hexadecimal(std::string_view text, std::size_t at, std::size_t n) {
  if (at + n > text.size()) return -1;
  std::int64_t value = 0;
  for (std::size_t i = at; i < at + n; ++i) {
    if (digit(text[i]) < 0) return -1;
    value = value * 16 + digit(text[i]);
  }
  return value;
}

void append_utf8(std::uint32_t c, std::string& out) {
  const auto tail = [&](int shift) { out.push_back(static_cast<char>(0x80 | (c >> shift & 0x3f))); };
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xc0 | c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xe0 | c >> 12));
    tail(6), tail(0);
  } else {
    out.push_back(static_cast<char>(0xf0 | c >> 18));
    tail(12), tail(6), tail(0);
  }
}

// The character at `at`, which moves behind it; -1 if it is malformed.
std::int64_t next_character(std::string_view text, std::size_t& at) {
  const auto first = static_cast<unsigned char>(text[at++]);
  if (first < 0x80) return first;
  const int more = first >= 0xf0 && first < 0xf5   ? 3
                   : first >= 0xe0 && first < 0xf0 ? 2
                   : first >= 0xc2 && first < 0xe0 ? 1
                                                   : 0;
  if (more == 0) return -1;
  std::int64_t c = first & (0x3f >> more);
  for (int i = 0; i < more; ++i) {
    if (at >= text.size() || (text[at] & 0xc0) != 0x80) return -1;
    c = c << 6 | (text[at++] & 0x3f);
  }
  static constexpr std::int64_t least[] = {0, 0x80, 0x800, 0x10000};
  return c < least[more] || c > 0x10ffff ? -1 : c;
}

}  // namespace

bool valid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();)
    if (next_character(text, at) < 0) return false;
  return true;
}

std::string decimal_of(std::string_view bytes) {
  const bool negative = !bytes.empty() && (bytes.back() & 0x80);
  std::vector<std::uint8_t> magnitude(bytes.begin(), bytes.end());
  if (negative) {
    int carry = 1;
    for (std::uint8_t& b : magnitude) {
      const int v = (~b & 0xff) + carry;
      b = static_cast<std::uint8_t>(v);
      carry = v >> 8;
    }
  }
  std::string out;
  out.reserve(3 * bytes.size() + 16);  // log10(256) = 2.41 digits a byte
  while (!magnitude.empty()) {         // divides by 10^9 again and again
    std::uint64_t rest = 0;
    for (std::size_t i = magnitude.size(); i-- > 0;) {
      const std::uint64_t v = rest << 8 | magnitude[i];
      magnitude[i] = static_cast<std::uint8_t>(v / 1'000'000'000);
      rest = v % 1'000'000'000;
    }
    while (!magnitude.empty() && magnitude.back() == 0) magnitude.pop_back();
    for (int i = 0; i < 9; ++i, rest /= 10) out.push_back(static_cast<char>('0' + rest % 10));
  }
  while (out.size() > 1 && out.back() == '0') out.pop_back();
  if (out.empty()) out = "0";
  if (negative) out.push_back('-');
  std::reverse(out.begin(), out.end());
  return out;
}

std::string bytes_of_decimal(std::string_view digits) {
  const bool negative = !digits.empty() && digits[0] == '-';
  std::vector<std::uint8_t> out;
  for (const char c : digits.substr(negative ? 1 : 0)) {
    int carry = c - '0';
    for (std::uint8_t& b : out) {
      const int v = b * 10 + carry;
      b = static_cast<std::uint8_t>(v);
      carry = v >> 8;
    }
    if (carry) out.push_back(static_cast<std::uint8_t>(carry));
  }
  out.push_back(0);
  if (negative) {
    int carry = 1;
    for (std::uint8_t& b : out) {
      const int v = (~b & 0xff) + carry;
      b = static_cast<std::uint8_t>(v);
      carry = v >> 8;
    }
  }
  // The top byte goes while the sign is clear without it.
  while (out.size() > 1 &&
         ((out.back() == 0 && !(out[out.size() - 2] & 0x80)) || (out.back() == 0xff && (out[out.size() - 2] & 0x80))))
    out.pop_back();
  return {out.begin(), out.end()};
}

bool unescape_quoted(std::string_view line, std::string& out) {
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
  if (line.size() < 2 || line.front() != line.back() || (line[0] != '\'' && line[0] != '"')) return false;
  line = line.substr(1, line.size() - 2);
  static constexpr std::string_view letters = "abfnrtv\\'\"", meanings = "\a\b\f\n\r\t\v\\'\"";
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      out.push_back(line[i]);
      continue;
    }
    if (++i == line.size()) return false;
    if (line[i] == 'x') {
      const std::int64_t code = hexadecimal(line, i + 1, 2);
      if (code < 0) return false;
      out.push_back(static_cast<char>(code));
      i += 2;
    } else if (const std::size_t which = letters.find(line[i]); which != std::string_view::npos) {
      out.push_back(meanings[which]);
    } else {
      return false;
    }
  }
  return true;
}

bool unescape_unicode(std::string_view line, std::string& out) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    const bool escape = line[i] == '\\' && i + 1 < line.size() && (line[i + 1] == 'u' || line[i + 1] == 'U');
    if (!escape) {
      append_utf8(static_cast<unsigned char>(line[i]), out);
      continue;
    }
    const std::size_t n = line[i + 1] == 'u' ? 4 : 8;
    const std::int64_t code = hexadecimal(line, i + 2, n);
    if (code < 0 || code > 0x10ffff) return false;
    append_utf8(static_cast<std::uint32_t>(code), out);
    i += 1 + n;
  }
  return true;
}

std::string latin1_to_utf8(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) append_utf8(static_cast<unsigned char>(c), out);
  return out;
}

bool utf8_to_latin1(std::string_view text, std::string& out) {
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::int64_t c = next_character(text, at);
    if (c < 0 || c > 255) return false;
    out.push_back(static_cast<char>(c));
  }
  return true;
}

}  // namespace pen::torch
