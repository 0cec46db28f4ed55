#include "train/event_file.h"

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/check.h"
#include "base/file.h"

namespace pen {
namespace {

using Bytes = std::vector<std::uint8_t>;

// Larger than any run's log; beyond it a file is not ours.
constexpr std::uint64_t largest_file = std::uint64_t{1} << 32;

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t v = i;
    for (int bit = 0; bit < 8; ++bit) v = v & 1 ? v >> 1 ^ 0x82F63B78u : v >> 1;
    table[i] = v;
  }
  return table;
}

// Little-endian, whatever the machine.
template <class T>
void put_fixed(Bytes& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

template <class T>
T get_fixed(std::span<const std::uint8_t> in) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(static_cast<T>(in[i]) << (8 * i));
  return value;
}

void put_varint(Bytes& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::uint8_t>(value | 0x80));
  out.push_back(static_cast<std::uint8_t>(value));
}

// Wire types of protocol buffers: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
void put_key(Bytes& out, unsigned field, unsigned wire) { put_varint(out, field << 3 | wire); }

void put_bytes(Bytes& out, unsigned field, std::span<const std::uint8_t> bytes) {
  put_key(out, field, 2);
  put_varint(out, bytes.size());
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void put_text(Bytes& out, unsigned field, std::string_view text) {
  put_bytes(out, field, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

Bytes event(std::int64_t step) {
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  Bytes out;
  put_key(out, 1, 1);
  put_fixed(out, std::bit_cast<std::uint64_t>(now));
  put_key(out, 2, 0);
  put_varint(out, static_cast<std::uint64_t>(step));
  return out;
}

std::optional<std::uint64_t> get_varint(std::span<const std::uint8_t>& in) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (in.empty()) return std::nullopt;
    const std::uint8_t byte = in[0];
    in = in.subspan(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return value;
  }
  return std::nullopt;
}

// Keeps the records of steps below `limit`; nothing if the file is not one of events.
void keep_records(const std::string& path, std::int64_t limit) {
  if (!std::filesystem::exists(path)) return;
  const Bytes file = read_file(path, largest_file, ErrorKind::run);
  std::string kept;
  for (const EventRecord& record : event_records(file)) {
    const std::int64_t step = step_of_event(record.data);
    // The first event, at step 0, names the version of the format.
    const bool first = record.begin == 0;
    if (step < 0 || (step >= limit && !first)) continue;
    kept.append(reinterpret_cast<const char*>(file.data()) + record.begin, record.end - record.begin);
  }
  write_file(path, kept);
}

}  // namespace

std::uint32_t crc32c(std::span<const std::uint8_t> bytes) {
  static constexpr std::array<std::uint32_t, 256> table = make_table();
  std::uint32_t crc = ~std::uint32_t{0};
  for (const std::uint8_t byte : bytes) crc = table[(crc ^ byte) & 0xff] ^ crc >> 8;
  return ~crc;
}

std::uint32_t masked_crc32c(std::span<const std::uint8_t> bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

std::vector<EventRecord> event_records(std::span<const std::uint8_t> file) {
  constexpr std::size_t head = 12, tail = 4;
  std::vector<EventRecord> out;
  for (std::size_t at = 0; file.size() - at >= head + tail;) {
    const auto length = get_fixed<std::uint64_t>(file.subspan(at, 8));
    if (get_fixed<std::uint32_t>(file.subspan(at + 8, 4)) != masked_crc32c(file.subspan(at, 8))) break;
    if (length > file.size() - at - head - tail) break;
    const auto data = file.subspan(at + head, static_cast<std::size_t>(length));
    const std::size_t end = at + head + data.size() + tail;
    if (get_fixed<std::uint32_t>(file.subspan(end - tail, tail)) != masked_crc32c(data)) break;
    out.push_back({at, end, data});
    at = end;
  }
  return out;
}

std::int64_t step_of_event(std::span<const std::uint8_t> in) {
  while (!in.empty()) {
    const auto key = get_varint(in);
    if (!key) return -1;
    std::size_t skip = 0;
    switch (*key & 7) {
      case 0: {
        const auto value = get_varint(in);
        if (!value) return -1;
        if (*key >> 3 == 2) return static_cast<std::int64_t>(*value);
        break;
      }
      case 1:
        skip = 8;
        break;
      case 2: {
        const auto length = get_varint(in);
        if (!length || *length > in.size()) return -1;
        skip = static_cast<std::size_t>(*length);
        break;
      }
      case 5:
        skip = 4;
        break;
      default:
        return -1;
    }
    if (skip > in.size()) return -1;
    in = in.subspan(skip);
  }
  return 0;
}

EventFile::EventFile(const std::string& folder, std::int64_t resume_step)
    : path_(folder + "/events.out.tfevents.penumbra"), file_(nullptr, &std::fclose) {
  keep_records(path_, resume_step);
  file_.reset(std::fopen(path_.c_str(), "ab"));
  PEN_CHECK(file_ != nullptr, "cannot append to '", path_, "'");
  if (std::filesystem::file_size(path_) > 0) return;
  Bytes first = event(0);
  put_text(first, 3, "brain.Event:2");
  append(first);
}

void EventFile::scalars(std::string_view prefix, std::int64_t step,
                        const std::vector<std::pair<std::string, double>>& figures) {
  Bytes summary;
  for (const auto& [name, number] : figures) {
    if (std::isnan(number)) continue;
    Bytes value;
    put_text(value, 1, str(prefix, "/", name));
    put_key(value, 2, 5);
    put_fixed(value, std::bit_cast<std::uint32_t>(static_cast<float>(number)));
    put_bytes(summary, 1, value);
  }
  if (summary.empty()) return;
  Bytes whole = event(step);
  put_bytes(whole, 5, summary);
  append(whole);
}

void EventFile::append(const Bytes& data) {
  Bytes record;
  put_fixed(record, static_cast<std::uint64_t>(data.size()));
  put_fixed(record, masked_crc32c(record));
  record.insert(record.end(), data.begin(), data.end());
  put_fixed(record, masked_crc32c(data));
  const bool ok =
      std::fwrite(record.data(), 1, record.size(), file_.get()) == record.size() && std::fflush(file_.get()) == 0;
  PEN_CHECK(ok, "cannot append to '", path_, "' (is the disk full?)");
}

}  // namespace pen
