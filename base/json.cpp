#include "base/json.h"

#include <fmt/format.h>
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/file.h"

namespace pen {

std::string line_and_column(std::string_view text, std::size_t offset) {
  offset = std::min(offset, text.size());
  const auto lines = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n');
  const std::size_t start = offset == 0 ? std::string_view::npos : text.rfind('\n', offset - 1);
  return str("line ", lines + 1, ", column ", start == std::string_view::npos ? offset + 1 : offset - start);
}

namespace {

// Passes a reader's events on to a document, with numbers read by std::from_chars. RapidJSON's own full-precision
// reader indexes outside of its table of powers for numbers like 0.<hundreds of digits>e-900 (found by fuzzing).
class NumberReader {
 public:
  explicit NumberReader(rapidjson::Document& out) : out_(out) {}
  bool Null() { return out_.Null(); }
  bool Bool(bool v) { return out_.Bool(v); }
  bool Int(int v) { return out_.Int(v); }
  bool Uint(unsigned v) { return out_.Uint(v); }
  bool Int64(std::int64_t v) { return out_.Int64(v); }
  bool Uint64(std::uint64_t v) { return out_.Uint64(v); }
  bool Double(double v) { return out_.Double(v); }  // NaN and Infinity
  bool RawNumber(const char* text, rapidjson::SizeType length, bool);
  bool String(const char* text, rapidjson::SizeType length, bool copy) { return out_.String(text, length, copy); }
  bool Key(const char* text, rapidjson::SizeType length, bool copy) { return out_.Key(text, length, copy); }
  bool StartObject() { return out_.StartObject(); }
  bool EndObject(rapidjson::SizeType count) { return out_.EndObject(count); }
  bool StartArray() { return out_.StartArray(); }
  bool EndArray(rapidjson::SizeType count) { return out_.EndArray(count); }

 private:
  rapidjson::Document& out_;
};

bool NumberReader::RawNumber(const char* text, rapidjson::SizeType length, bool) {
  const char* end = text + length;
  std::int64_t integer = 0;
  if (const auto read = std::from_chars(text, end, integer); read.ec == std::errc() && read.ptr == end)
    return integer < 0 ? out_.Int64(integer) : out_.Uint64(static_cast<std::uint64_t>(integer));
  std::uint64_t large = 0;
  if (const auto read = std::from_chars(text, end, large); read.ec == std::errc() && read.ptr == end)
    return out_.Uint64(large);
  double number = 0;
  const auto read = std::from_chars(text, end, number);
  if (read.ec == std::errc::result_out_of_range) {
    // Too small is 0; too large was refused before, in ParseNumber.
    const std::string_view view(text, length);
    const bool tiny =
        view.find("e-") != view.npos || view.find("E-") != view.npos || view.substr(0, 3).find("0.") != view.npos;
    return tiny && out_.Double(*text == '-' ? -0.0 : 0.0);
  }
  return read.ec == std::errc() && read.ptr == end && out_.Double(number);
}

}  // namespace

rapidjson::Document parse_json(std::string_view text, const std::string& name, ErrorKind kind) {
  using namespace rapidjson;
  // Iterative: a file of a million brackets must not exhaust the stack.
  constexpr unsigned flags = kParseNumbersAsStringsFlag | kParseNanAndInfFlag | kParseIterativeFlag;
  Document document;
  Reader reader;
  MemoryStream stream(text.data(), text.size());
  const auto fill = [&](Document& out) {
    NumberReader numbers(out);
    return !reader.Parse<flags>(stream, numbers).IsError();
  };
  document.Populate(fill);
  if (reader.HasParseError()) {
    const bool number = reader.GetParseErrorCode() == kParseErrorTermination;  // only RawNumber stops
    fail(kind, str("'", name, "' is not valid JSON at ", line_and_column(text, reader.GetErrorOffset()), ": ",
                   number ? "Number too big to be stored in double." : GetParseError_En(reader.GetParseErrorCode())));
  }
  return document;
}

rapidjson::Document parse_json_file(const std::string& path, ErrorKind kind) {
  const std::vector<std::uint8_t> bytes = read_file(path, 0xfffffff0ull, kind);
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, kind);
}

void JsonWriter::newline() {
  if (!pretty_) return;
  out_ += '\n';
  out_.append(2 * has_items_.size(), ' ');
}

void JsonWriter::before_value() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (has_items_.empty()) return;
  if (has_items_.back()) out_ += pretty_ ? "," : ", ";
  has_items_.back() = true;
  newline();
}

JsonWriter& JsonWriter::begin_object() {
  before_value();
  out_ += '{';
  has_items_.push_back(false);
  return *this;
}

JsonWriter& JsonWriter::end_object() {
  const bool any = has_items_.back();
  has_items_.pop_back();
  if (any) newline();
  out_ += '}';
  return *this;
}

JsonWriter& JsonWriter::begin_array() {
  before_value();
  out_ += '[';
  has_items_.push_back(false);
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  const bool any = has_items_.back();
  has_items_.pop_back();
  if (any) newline();
  out_ += ']';
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  value(name);
  out_ += ": ";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
  before_value();
  out_ += '"';
  for (const char ch : text) {
    const auto code = static_cast<unsigned char>(ch);
    switch (ch) {
      case '"':
        out_ += "\\\"";
        break;
      case '\\':
        out_ += "\\\\";
        break;
      case '\n':
        out_ += "\\n";
        break;
      case '\r':
        out_ += "\\r";
        break;
      case '\t':
        out_ += "\\t";
        break;
      default:
        if (code < 0x20)
          out_ += fmt::format("\\u{:04x}", code);
        else
          out_ += ch;
    }
  }
  out_ += '"';
  return *this;
}

JsonWriter& JsonWriter::value(double number) {
  before_value();
  if (!std::isfinite(number)) {
    out_ += "null";
    return *this;
  }
  std::string text = fmt::format("{}", number);
  // 1.0 stays a float for readers that tell integers from floats, as Python does
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  out_ += text;
  return *this;
}

JsonWriter& JsonWriter::value(bool flag) {
  before_value();
  out_ += flag ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::integer(std::int64_t number) {
  before_value();
  out_ += std::to_string(number);
  return *this;
}

JsonWriter& JsonWriter::null() {
  before_value();
  out_ += "null";
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  before_value();
  out_ += json;
  return *this;
}

}  // namespace pen
