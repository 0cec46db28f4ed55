#include <bit>
#include <charconv>

#include "models/torch/pickle_machine.h"

namespace pen::torch {

// Numbers and texts.
bool Machine::leaf(std::uint8_t code) {
  const auto named = [&](const char* name) { site_.opcode = name; };
  switch (code) {
    case 'N':
      return push(values_.none()), true;
    case 0x88:
    case 0x89:
      return push(values_.boolean(code == 0x88)), true;
    case 'J':
      named("BININT");
      return integer(in_.little<std::int32_t>()), true;
    case 'K':
      named("BININT1");
      return integer(in_.u8()), true;
    case 'M':
      named("BININT2");
      return integer(in_.little<std::uint16_t>()), true;
    case 'I':
      named("INT");
      return decimal_integer(in_.line(longest_line), true), true;
    case 'L':
      named("LONG");
      return decimal_integer(in_.line(longest_line), false), true;
    case 0x8a:
      named("LONG1");
      return long_integer(in_.u8()), true;
    case 0x8b: {
      named("LONG4");
      const auto n = in_.little<std::int32_t>();
      if (n < 0) site_.refuse(str("an integer of ", n, " bytes"));
      return long_integer(static_cast<std::uint64_t>(n)), true;
    }
    case 'G': {
      named("BINFLOAT");
      std::uint64_t bits = 0;  // big-endian
      for (int i = 0; i < 8; ++i) bits = bits << 8 | in_.u8();
      return real(std::bit_cast<double>(bits)), true;
    }
    case 'F': {
      named("FLOAT");
      const std::string line = in_.line(longest_line);
      double value = 0;
      const auto end = std::from_chars(line.data(), line.data() + line.size(), value);
      if (end.ec != std::errc() || end.ptr != line.data() + line.size())
        site_.refuse(str("'", printable(line), "' is no number"));
      return real(value), true;
    }
    case 'X':
      named("BINUNICODE");
      return text(raw(in_.little<std::uint32_t>(), "a text")), true;
    case 0x8c:
      named("SHORT_BINUNICODE");
      return text(raw(in_.u8(), "a text")), true;
    case 0x8d:
      named("BINUNICODE8");
      return text(raw(in_.little<std::uint64_t>(), "a text")), true;
    case 'V':
    case 'S': {
      named(code == 'V' ? "UNICODE" : "STRING");
      std::string out;
      const std::string line = in_.line(longest_line);
      if (!(code == 'V' ? unescape_unicode(line, out) : unescape_quoted(line, out)))
        site_.refuse(str("'", printable(line), "' is no text"));
      charge(out.capacity());
      return text(std::move(out), code == 'S'), true;
    }
    case 'U':
      named("SHORT_BINSTRING");
      return text(raw(in_.u8(), "a text"), true), true;
    case 'T': {
      named("BINSTRING");
      const auto n = in_.little<std::int32_t>();
      if (n < 0) site_.refuse(str("a text of ", n, " bytes"));
      return text(raw(static_cast<std::uint64_t>(n), "a text"), true), true;
    }
    case 'B':
      named("BINBYTES");
      return bytes(in_.little<std::uint32_t>()), true;
    case 'C':
      named("SHORT_BINBYTES");
      return bytes(in_.u8()), true;
    default:
      return false;
  }
}

}  // namespace pen::torch
