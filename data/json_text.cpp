#include "data/json_text.h"

#include <cstdint>

#include "base/check.h"

namespace pen {
namespace {

constexpr std::uint32_t kInvalid = 0xffffffffu;

// The code point at `position`, which moves behind it; kInvalid for anything that RFC 3629 forbids (overlong forms,
// surrogates, beyond U+10FFFF, cut sequences).
std::uint32_t next_code_point(std::string_view text, std::size_t& position) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t first = byte(position++);
  if (first < 0x80) return first;
  const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
  if (first < 0xc2 || first > 0xf4 || text.size() - position < static_cast<std::size_t>(more)) return kInvalid;
  std::uint32_t code = first & (0x3fu >> more);
  for (int i = 0; i < more; ++i) {
    const std::uint32_t next = byte(position++);
    if ((next & 0xc0) != 0x80) return kInvalid;
    code = code << 6 | (next & 0x3f);
  }
  const std::uint32_t least = more == 3 ? 0x10000u : more == 2 ? 0x800u : 0x80u;
  if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return kInvalid;
  return code;
}

void append_escape(std::string& out, std::uint32_t unit) {
  constexpr char digits[] = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += digits[unit >> shift & 15];
}

}  // namespace

bool is_plain_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::uint32_t code = next_code_point(text, i);
    if (code == kInvalid || code == 0) return false;
  }
  return true;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    const std::uint32_t code = next_code_point(text, i);
    PEN_CHECK(code != kInvalid, "a text that is not UTF-8 cannot be written as JSON: '", text, "'");
    switch (code) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (code >= 0x10000) {
          append_escape(out, 0xd800 + ((code - 0x10000) >> 10));
          append_escape(out, 0xdc00 + ((code - 0x10000) & 0x3ff));
        } else if (code < 0x20 || code > 0x7e) {
          // Python leaves DEL (0x7f) as it is
          if (code == 0x7f)
            out += '\x7f';
          else
            append_escape(out, code);
        } else {
          out += static_cast<char>(code);
        }
    }
  }
  out += '"';
}

}  // namespace pen
