// JSON by RapidJSON: reading with errors that name file and line, writing in order. Include in .cpp files only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

// RapidJSON's own size type is 32-bit; our files are checked to be smaller than that.
#define RAPIDJSON_HAS_STDSTRING 1
#include <rapidjson/document.h>

#include "base/check.h"

namespace pen {

// The whole document, parsed with full precision; NaN and Infinity are accepted, as Python writes them. Malformed:
// an Error of `kind` that names file, line and column.
rapidjson::Document parse_json_file(const std::string& path, ErrorKind kind = ErrorKind::data);
rapidjson::Document parse_json(std::string_view text, const std::string& name, ErrorKind kind = ErrorKind::data);

// Position of a byte offset for messages: "line 3, column 7".
std::string line_and_column(std::string_view text, std::size_t offset);

// Builds one JSON text. Doubles are written as the shortest text that reads back to the same value; NaN and infinity
// as null. Pretty: indented by 2, as Python's json.dump(indent=2).
class JsonWriter {
 public:
  explicit JsonWriter(bool pretty = false) : pretty_(pretty) {}
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(double number);
  JsonWriter& value(bool flag);
  JsonWriter& null();
  template <class T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) JsonWriter& value(T number) {
    return integer(static_cast<std::int64_t>(number));
  }
  template <class T>
  JsonWriter& value(const std::vector<T>& items) {
    begin_array();
    for (const auto& item : items) value(item);
    return end_array();
  }
  // key and value in one
  template <class T>
  JsonWriter& field(std::string_view name, const T& item) {
    key(name);
    return value(item);
  }
  // A text that is JSON already.
  JsonWriter& raw(std::string_view json);
  const std::string& text() const { return out_; }

 private:
  JsonWriter& integer(std::int64_t number);
  void before_value();
  void newline();
  bool pretty_;
  std::string out_;
  std::vector<bool> has_items_;  // for each open object or array
  bool after_key_ = false;
};

}  // namespace pen
