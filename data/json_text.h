// Pieces of JSON text as Python's json module writes them.
#pragma once

#include <string>
#include <string_view>

namespace pen {

// True for well-formed UTF-8 without NUL: what a path must be to survive JSON and open().
bool is_plain_utf8(std::string_view text);

// Appends "text" quoted and escaped as json.dumps does (ensure_ascii: everything beyond ASCII as \uXXXX, beyond the
// first plane as a surrogate pair). The text must be well-formed UTF-8.
void append_json_string(std::string& out, std::string_view text);

}  // namespace pen
