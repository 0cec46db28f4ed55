// Texts and long integers as pickles spell them.
#pragma once

#include <string>
#include <string_view>

namespace pen::torch {

// Well-formed UTF-8; surrogates are let through, as Python's "surrogatepass" does.
bool valid_utf8(std::string_view text);
// Decimal digits of a little-endian two's complement number.
std::string decimal_of(std::string_view bytes);
// The little-endian two's complement bytes of decimal digits, as few as possible (the other way).
std::string bytes_of_decimal(std::string_view digits);
// A quoted Python 2 string ('a\x41'), without its quotes and escapes; false if it is none.
bool unescape_quoted(std::string_view line, std::string& out);
// Python's raw-unicode-escape (\u00e4, \U0001f600) to UTF-8; false if an escape is broken.
bool unescape_unicode(std::string_view line, std::string& out);
// UTF-8 of Latin-1, and back (false if a character is above 255).
std::string latin1_to_utf8(std::string_view bytes);
bool utf8_to_latin1(std::string_view text, std::string& out);

}  // namespace pen::torch
