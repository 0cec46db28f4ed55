#include "eval/npy.h"

#include <bit>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "base/file.h"

namespace pen::eval {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are written and read as they lie in memory");

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::uint64_t max_file = 1ull << 36;
constexpr std::size_t max_header = 65536, max_dimensions = 32;

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ' ';
    text += std::to_string(shape[i]);
    if (i + 1 < shape.size() || shape.size() == 1) text += ',';
  }
  return text + ")";
}

void write(const std::string& path, std::span<const std::int64_t> shape, std::string_view type, const void* values,
           std::size_t count, std::size_t item) {
  std::uint64_t product = 1;
  for (const std::int64_t d : shape) {
    PEN_CHECK(d >= 0 && (d == 0 || product <= max_file / static_cast<std::uint64_t>(d)), path, ": bad shape ",
              shape_text(shape));
    product *= static_cast<std::uint64_t>(d);
  }
  PEN_CHECK(product == count, path, ": shape ", shape_text(shape), " for ", count, " values");
  std::string header = str("{'descr': '", type, "', 'fortran_order': False, 'shape': ", shape_text(shape), ", }");
  // Magic, version, length and header together fill whole lines of 64 bytes, the last of them ending the text line.
  header += std::string(63 - (magic.size() + 4 + header.size()) % 64, ' ') + "\n";
  AtomicFile file(path);
  file.write(magic);
  const std::uint8_t prefix[4] = {1, 0, static_cast<std::uint8_t>(header.size() & 255),
                                  static_cast<std::uint8_t>(header.size() >> 8)};
  file.write(prefix, sizeof prefix);
  file.write(header);
  file.write(values, count * item);
  file.commit();
}

// Reads the Python literal {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } in any order of its keys.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  struct Header {
    std::string descr;
    bool fortran = false;
    std::vector<std::int64_t> shape;
  };

  Header read() {
    Header header;
    bool descr = false, order = false, shape = false;
    take('{');
    while (!next_is('}')) {
      const std::string key = quoted();
      take(':');
      if (key == "descr" && !descr) {
        descr = true;
        header.descr = quoted();
      } else if (key == "fortran_order" && !order) {
        order = true;
        header.fortran = boolean();
      } else if (key == "shape" && !shape) {
        shape = true;
        header.shape = tuple();
      } else {
        malformed();
      }
      if (!next_is('}')) take(',');
    }
    take('}');
    skip_spaces();
    if (at_ != text_.size() || !descr || !order || !shape) malformed();
    return header;
  }

 private:
  [[noreturn]] void malformed() const {
    fail(ErrorKind::data, str("'", name_, "': the .npy header is malformed"),
         "arrays of float32, float64 or uint8 written by numpy.save can be read");
  }
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool next_is(char c) {
    skip_spaces();
    if (at_ >= text_.size()) malformed();
    return text_[at_] == c;
  }
  void take(char c) {
    if (!next_is(c)) malformed();
    ++at_;
  }
  std::string quoted() {
    const char quote = next_is('"') ? '"' : '\'';
    take(quote);
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) malformed();
    const std::string word(text_.substr(at_, end - at_));
    at_ = end + 1;
    return word;
  }
  bool boolean() {
    skip_spaces();
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with("True")) return at_ += 4, true;
    if (rest.starts_with("False")) return at_ += 5, false;
    malformed();
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> numbers;
    take('(');
    while (!next_is(')')) {
      std::int64_t value = 0;
      const std::size_t first = at_;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
        value = value * 10 + (text_[at_] - '0');
        if (value > static_cast<std::int64_t>(max_file)) malformed();
      }
      if (at_ == first || numbers.size() == max_dimensions) malformed();
      numbers.push_back(value);
      if (!next_is(')')) take(',');
    }
    take(')');
    return numbers;
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0;
};

std::size_t item_size(NpyArray::Type type) {
  return type == NpyArray::Type::f64 ? 8 : type == NpyArray::Type::f32 ? 4 : 1;
}

}  // namespace

void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const float> values) {
  write(path, shape, "<f4", values.data(), values.size(), sizeof(float));
}
void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const double> values) {
  write(path, shape, "<f8", values.data(), values.size(), sizeof(double));
}
void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const std::uint8_t> values) {
  write(path, shape, "|u1", values.data(), values.size(), 1);
}

std::int64_t NpyArray::numel() const { return static_cast<std::int64_t>(bytes.size() / item_size(type)); }

namespace {

template <class To>
std::vector<To> converted(const NpyArray& array) {
  std::vector<To> values(static_cast<std::size_t>(array.numel()));
  const auto fill = [&](auto item) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::memcpy(&item, array.bytes.data() + i * sizeof item, sizeof item);
      values[i] = static_cast<To>(item);
    }
  };
  if (array.type == NpyArray::Type::u8) fill(std::uint8_t{});
  if (array.type == NpyArray::Type::f32) fill(float{});
  if (array.type == NpyArray::Type::f64) fill(double{});
  return values;
}

}  // namespace

std::vector<float> NpyArray::floats() const { return converted<float>(*this); }
std::vector<double> NpyArray::doubles() const { return converted<double>(*this); }

NpyArray read_npy(const std::string& path) { return parse_npy(read_file(path, max_file), path); }

NpyArray parse_npy(std::span<const std::uint8_t> file, const std::string& name) {
  const auto check = [&](bool ok, const char* what) { PEN_CHECK_AS(data, ok, "'", name, "': ", what); };
  check(file.size() >= 10 && std::memcmp(file.data(), magic.data(), magic.size()) == 0, "not a .npy file");
  const int major = file[6];
  check(major >= 1 && major <= 3 && file[7] == 0, "unknown .npy format version");
  const std::size_t start = major == 1 ? 10 : 12;
  check(file.size() >= start, "the .npy header is cut off");
  std::size_t length = file[8] | static_cast<std::size_t>(file[9]) << 8;
  if (major > 1) length |= static_cast<std::size_t>(file[10]) << 16 | static_cast<std::size_t>(file[11]) << 24;
  check(length <= max_header && length <= file.size() - start, "the .npy header is cut off or too long");
  const auto header = HeaderReader({reinterpret_cast<const char*>(file.data()) + start, length}, name).read();

  NpyArray array;
  if (header.descr == "<f4") {
    array.type = NpyArray::Type::f32;
  } else if (header.descr == "<f8") {
    array.type = NpyArray::Type::f64;
  } else if (header.descr == "|u1" || header.descr == "<u1") {
    array.type = NpyArray::Type::u8;
  } else {
    fail(ErrorKind::data, str("'", name, "': cannot read values of type '", header.descr, "'"),
         "save the array as float32, float64 or uint8");
  }
  check(!header.fortran, "the array is in Fortran order; save numpy.ascontiguousarray(array)");
  const std::size_t item = item_size(array.type), have = file.size() - start - length;
  std::uint64_t expected = item;
  bool zero = false;
  for (const std::int64_t d : header.shape) zero = zero || d == 0;
  for (const std::int64_t d : header.shape) {
    if (zero) break;
    check(expected <= max_file / static_cast<std::uint64_t>(d), "the array is too large");
    expected *= static_cast<std::uint64_t>(d);
  }
  if (zero) expected = 0;
  PEN_CHECK_AS(data, have == expected, "'", name, "': the header promises ", expected, " bytes, the file has ", have);
  array.shape = header.shape;
  array.bytes.assign(file.begin() + static_cast<std::ptrdiff_t>(start + length), file.end());
  return array;
}

}  // namespace pen::eval
