#include "tests/buffers.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/rng.h"

namespace pen::test {
namespace {

constexpr std::size_t guard_bytes = 256;  // keeps the payload as aligned as a tensor's memory is
constexpr std::uint8_t guard_word = 0xA5, poison = 0xFF;

std::uint64_t hash(const std::string& text) {  // FNV-1a
  std::uint64_t h = 14695981039346656037ull;
  for (const char c : text) h = (h ^ static_cast<std::uint8_t>(c)) * 1099511628211ull;
  return h;
}

template <class T>
void put(std::vector<std::uint8_t>& bytes, std::int64_t i, T value) {
  std::memcpy(bytes.data() + static_cast<std::size_t>(i) * sizeof(T), &value, sizeof(T));
}

template <class T>
void append_all(const std::vector<std::uint8_t>& bytes, std::vector<double>& values) {
  for (std::size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + i, sizeof(T));
    values.push_back(static_cast<double>(value));
  }
}

std::vector<double> values_of(DType dtype, const std::vector<std::uint8_t>& bytes) {
  std::vector<double> values;
  switch (dtype) {
    case DType::f32:
      append_all<float>(bytes, values);
      break;
    case DType::f64:
      append_all<double>(bytes, values);
      break;
    case DType::bf16:
      append_all<bf16>(bytes, values);
      break;
    case DType::f16:
      append_all<f16>(bytes, values);
      break;
    case DType::i64:
      append_all<std::int64_t>(bytes, values);
      break;
    case DType::u8:
      append_all<std::uint8_t>(bytes, values);
      break;
    default:
      fail(ErrorKind::run, str("no cases for type ", name_of(dtype)));
  }
  return values;
}

}  // namespace

Arena::~Arena() {
  for (const Entry& e : entries_) kernels::device::release(device_, e.memory);
}

void* Arena::add(const std::string& name, DType dtype, std::int64_t count, Role role, std::vector<std::uint8_t> start) {
  const std::size_t bytes = static_cast<std::size_t>(count) * size_of(dtype);
  if (role == Role::output) start.assign(bytes, poison);
  PEN_CHECK(start.size() == bytes, name, ": ", start.size(), " bytes for ", count, " elements");
  for (const Entry& e : entries_) PEN_CHECK(e.name != name, "two buffers called ", name);
  const std::size_t front = guard_bytes + (shifted_ == buffers() ? size_of(dtype) : 0);
  void* memory = kernels::device::allocate(device_, front + bytes + guard_bytes);
  PEN_CHECK(memory != nullptr, "no memory for a test's buffer of ", bytes, " bytes");
  entries_.push_back({name, dtype, role, false, count, std::move(start), memory, front});
  return static_cast<std::uint8_t*>(memory) + front;
}

std::vector<std::uint8_t> Arena::draw(const std::string& name, DType dtype, std::int64_t count, double low,
                                      double high) const {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count) * size_of(dtype));
  const std::uint64_t stream = hash(name);
  for (std::int64_t i = 0; i < count; ++i) {
    const double v = low + (high - low) * philox_uniform(20261123, stream, static_cast<std::uint64_t>(i));
    if (dtype == DType::f32) put(bytes, i, static_cast<float>(v));
    if (dtype == DType::f64) put(bytes, i, v);
    if (dtype == DType::bf16) put(bytes, i, bf16(static_cast<float>(v)));
    if (dtype == DType::f16) put(bytes, i, f16(static_cast<float>(v)));
    if (dtype == DType::i64) put(bytes, i, static_cast<std::int64_t>(v));
  }
  return bytes;
}

void Arena::reset() {
  for (const Entry& e : entries_) {
    std::vector<std::uint8_t> image(e.front + e.start.size() + guard_bytes, guard_word);
    std::copy(e.start.begin(), e.start.end(), image.begin() + static_cast<std::ptrdiff_t>(e.front));
    kernels::device::copy(device_, e.memory, Device{}, image.data(), image.size(), nullptr);
  }
  kernels::device::synchronize(device_);
}

std::vector<std::uint8_t> Arena::read(const Entry& entry) const {
  std::vector<std::uint8_t> image(entry.front + entry.start.size() + guard_bytes);
  kernels::device::synchronize(device_);
  kernels::device::copy(Device{}, image.data(), device_, entry.memory, image.size(), nullptr);
  return image;
}

std::vector<std::string> Arena::damage() const {
  std::vector<std::string> found;
  const auto intact = [](std::uint8_t byte) { return byte == guard_word; };
  for (const Entry& e : entries_) {
    const std::vector<std::uint8_t> image = read(e);
    const auto begin = image.begin() + static_cast<std::ptrdiff_t>(e.front), end = image.end() - guard_bytes;
    if (!std::all_of(image.begin(), begin, intact)) found.push_back(e.name + ": written before its begin");
    if (!std::all_of(end, image.end(), intact)) found.push_back(e.name + ": written behind its end");
    if (e.role == Role::input && !std::equal(begin, end, e.start.begin(), e.start.end()))
      found.push_back(e.name + ": an input has changed");
  }
  return found;
}

std::vector<Output> Arena::outputs() const {
  std::vector<Output> all;
  for (const Entry& e : entries_) {
    if (e.role == Role::input) continue;
    const std::vector<std::uint8_t> image = read(e);
    Output o;
    o.name = e.name;
    o.dtype = e.dtype;
    o.may_be_zero = e.may_be_zero;
    o.bytes.assign(image.begin() + static_cast<std::ptrdiff_t>(e.front), image.end() - guard_bytes);
    o.values = values_of(e.dtype, o.bytes);
    if (e.role == Role::both) o.start = values_of(e.dtype, e.start);
    all.push_back(std::move(o));
  }
  return all;
}

}  // namespace pen::test
