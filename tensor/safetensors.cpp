#include "tensor/safetensors.h"

#include <algorithm>
#include <cstring>

#include "base/json.h"

namespace pen {
namespace {

constexpr std::uint64_t max_header = 100'000'000;

// Product of a shape and the element size; false on overflow or a negative size.
bool byte_size(const std::vector<std::int64_t>& shape, std::size_t element, std::uint64_t& out) {
  out = element;
  for (const std::int64_t d : shape) {
    if (d < 0) return false;
    if (__builtin_mul_overflow(out, static_cast<std::uint64_t>(d), &out)) return false;
  }
  return true;
}

}  // namespace

std::size_t safetensors_element_size(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "I8" || dtype == "U8" || dtype == "BOOL") return 1;
  return 0;
}

std::int64_t StoredTensor::numel() const {
  std::int64_t n = 1;
  for (const std::int64_t d : shape) n *= d;
  return n;
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  auto file = std::make_shared<MappedFile>(path, ErrorKind::checkpoint);
  SafetensorsFile out = parse(file->bytes(), path);
  out.file_ = std::move(file);
  return out;
}

SafetensorsFile SafetensorsFile::parse(std::span<const std::uint8_t> bytes, const std::string& name) {
  const auto bad = [&](const auto&... parts) {
    fail(ErrorKind::checkpoint, str("'", name, "' is no valid safetensors file: ", parts...));
  };
  if (bytes.size() < 8) bad("it has ", bytes.size(), " bytes, fewer than its 8-byte header length");
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  if (header > max_header || header > bytes.size() - 8)
    bad("its header claims ", header, " bytes, the file has ", bytes.size() - 8, " after byte 8");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, header);
  const rapidjson::Document json = parse_json(text, name, ErrorKind::checkpoint);
  if (!json.IsObject()) bad("its header is not a JSON object");
  const std::uint64_t data_size = bytes.size() - 8 - header;
  const std::uint8_t* data = bytes.data() + 8 + header;

  SafetensorsFile out;
  out.name_ = name;
  out.start_ = bytes.data();
  struct Range {
    std::uint64_t begin, end;
    std::string tensor;
  };
  std::vector<Range> ranges;
  for (const auto& member : json.GetObject()) {
    const std::string key(member.name.GetString(), member.name.GetStringLength());
    const auto& v = member.value;
    if (!v.IsObject()) bad("entry '", key, "' is not an object");
    if (key == "__metadata__") {
      for (const auto& m : v.GetObject()) {
        if (!m.value.IsString()) bad("metadata '", m.name.GetString(), "' is not a string");
        out.metadata_[m.name.GetString()] = std::string(m.value.GetString(), m.value.GetStringLength());
      }
      continue;
    }
    if (!v.HasMember("dtype") || !v["dtype"].IsString() || !v.HasMember("shape") || !v["shape"].IsArray() ||
        !v.HasMember("data_offsets") || !v["data_offsets"].IsArray() || v["data_offsets"].Size() != 2)
      bad("tensor '", key, "' lacks dtype, shape or two data_offsets");
    StoredTensor t;
    t.dtype = v["dtype"].GetString();
    const std::size_t element = safetensors_element_size(t.dtype);
    if (element == 0) bad("tensor '", key, "' has the unknown dtype '", t.dtype, "'");
    for (const auto& d : v["shape"].GetArray()) {
      if (!d.IsUint64() || d.GetUint64() > static_cast<std::uint64_t>(INT64_MAX))
        bad("tensor '", key, "' has a bad shape");
      t.shape.push_back(static_cast<std::int64_t>(d.GetUint64()));
    }
    std::uint64_t expected = 0;
    if (!byte_size(t.shape, element, expected)) bad("tensor '", key, "' has a shape whose size overflows");
    const auto& offsets = v["data_offsets"];
    if (!offsets[0].IsUint64() || !offsets[1].IsUint64()) bad("tensor '", key, "' has bad data_offsets");
    const std::uint64_t begin = offsets[0].GetUint64(), end = offsets[1].GetUint64();
    if (begin > end || end > data_size)
      bad("tensor '", key, "' lies at bytes ", begin, "..", end, " of ", data_size, " bytes of data");
    if (end - begin != expected)
      bad("tensor '", key, "' has ", end - begin, " bytes, its shape and dtype need ", expected);
    t.bytes = {data + begin, static_cast<std::size_t>(end - begin)};
    ranges.push_back({begin, end, key});
    if (!out.tensors_.emplace(key, std::move(t)).second) bad("tensor '", key, "' stands in the header twice");
    out.order_.push_back(key);
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t at = 0;
  for (const Range& r : ranges) {
    if (r.begin != at)
      bad(r.begin < at ? "tensor '" : "there is a hole before tensor '", r.tensor,
          r.begin < at ? "' overlaps another one" : "'");
    at = r.end;
  }
  if (at != data_size) bad("its data ends at byte ", at, ", the file goes on to ", data_size);
  return out;
}

const StoredTensor& SafetensorsFile::at(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) fail(ErrorKind::checkpoint, str("'", name_, "' has no tensor '", name, "'"));
  return it->second;
}

void SafetensorsWriter::add(const std::string& name, const std::string& dtype, std::vector<std::int64_t> shape,
                            const void* data) {
  std::uint64_t size = 0;
  const std::size_t element = safetensors_element_size(dtype);
  PEN_CHECK(element != 0, "safetensors: unknown dtype '", dtype, "' of tensor '", name, "'");
  PEN_CHECK(byte_size(shape, element, size), "safetensors: the size of tensor '", name, "' overflows");
  for (const Entry& e : entries_) PEN_CHECK(e.name != name, "safetensors: tensor '", name, "' is added twice");
  entries_.push_back({name, dtype, std::move(shape), data, size});
}

void SafetensorsWriter::write(const std::string& path) const {
  JsonWriter json;
  json.begin_object();
  if (!metadata_.empty()) {
    json.key("__metadata__").begin_object();
    for (const auto& [key, value] : metadata_) json.field(key, value);
    json.end_object();
  }
  std::uint64_t offset = 0;
  for (const Entry& e : entries_) {
    json.key(e.name).begin_object().field("dtype", e.dtype).field("shape", e.shape);
    json.key("data_offsets").begin_array().value(offset).value(offset + e.size).end_array().end_object();
    offset += e.size;
  }
  json.end_object();
  std::string header = json.text();
  header.append((8 - header.size() % 8) % 8, ' ');  // data starts 8-byte aligned, as the format recommends
  const std::uint64_t length = header.size();
  AtomicFile file(path);
  file.write(&length, 8);
  file.write(header);
  for (const Entry& e : entries_) file.write(e.data, e.size);
  file.commit();
}

}  // namespace pen
