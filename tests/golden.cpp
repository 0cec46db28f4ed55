#include "tests/golden.h"

#include <zlib.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/check.h"
#include "tests/paths.h"

namespace pen::test {
namespace {

template <class T>
std::vector<T> copy_as(const StoredTensor& t) {
  std::vector<T> out(t.bytes.size() / sizeof(T));
  if (!out.empty()) std::memcpy(out.data(), t.bytes.data(), t.bytes.size());
  return out;
}

// The bytes of a gzip file.
std::vector<std::uint8_t> unzip(const std::string& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  PEN_CHECK(file, "cannot open ", path);
  std::vector<std::uint8_t> out;
  constexpr unsigned step = 1 << 20;
  for (int got = 1; got > 0;) {
    const std::size_t old = out.size();
    out.resize(old + step);
    got = gzread(file.get(), out.data() + old, step);
    PEN_CHECK(got >= 0, "cannot unzip ", path);
    out.resize(old + static_cast<std::size_t>(got));
  }
  return out;
}

}  // namespace

std::string golden_path(const std::string& file) {
  const char* other = std::getenv("PENUMBRA_GOLDEN");
  return (other ? std::string(other) : pen::test::tests_folder() + "/golden") + "/" + file;
}

std::vector<std::uint8_t> golden_bytes(const std::string& file) {
  const std::string path = golden_path(file);
  if (std::filesystem::exists(path)) return read_file(path, std::uint64_t{1} << 30);
  return unzip(path + ".gz");
}

Golden::Golden(const std::string& file) {
  const std::string path = golden_path(file), zipped = path + ".gz";
  if (std::filesystem::exists(path) || !std::filesystem::exists(zipped)) {
    file_ = SafetensorsFile::open(path);
  } else {
    bytes_ = unzip(zipped);
    file_ = SafetensorsFile::parse(bytes_, path);
  }
}

std::vector<float> Golden::f32(const std::string& name) const {
  const StoredTensor& t = file_.at(name);
  PEN_CHECK(t.dtype == "F32", name, " is ", t.dtype, ", not F32");
  return copy_as<float>(t);
}

std::vector<double> Golden::f64(const std::string& name) const {
  const StoredTensor& t = file_.at(name);
  if (t.dtype == "F64") return copy_as<double>(t);
  const std::vector<float> v = f32(name);
  return {v.begin(), v.end()};
}

std::vector<std::int64_t> Golden::i64(const std::string& name) const {
  const StoredTensor& t = file_.at(name);
  if (t.dtype == "I64") return copy_as<std::int64_t>(t);
  PEN_CHECK(t.dtype == "I32", name, " is ", t.dtype, ", not I64 or I32");
  const std::vector<std::int32_t> v = copy_as<std::int32_t>(t);
  return {v.begin(), v.end()};
}

std::vector<std::uint8_t> Golden::u8(const std::string& name) const {
  const StoredTensor& t = file_.at(name);
  PEN_CHECK(t.dtype == "U8" || t.dtype == "BOOL", name, " is ", t.dtype, ", not U8");
  return copy_as<std::uint8_t>(t);
}

std::vector<std::uint16_t> Golden::f16_bits(const std::string& name) const {
  const StoredTensor& t = file_.at(name);
  PEN_CHECK(t.dtype == "F16", name, " is ", t.dtype, ", not F16");
  return copy_as<std::uint16_t>(t);
}

std::vector<std::uint16_t> Golden::u16(const std::string& name) const {
  const StoredTensor& t = file_.at(name);
  PEN_CHECK(t.dtype == "U16", name, " is ", t.dtype, ", not U16");
  return copy_as<std::uint16_t>(t);
}

std::string Golden::meta(const std::string& key) const {
  const auto it = file_.metadata().find(key);
  PEN_CHECK(it != file_.metadata().end(), file_.name(), " has no metadata '", key, "'");
  return it->second;
}

std::uint64_t Golden::seed() const {
  const auto it = file_.metadata().find("seed");
  return it == file_.metadata().end() ? 0 : std::stoull(it->second);
}

}  // namespace pen::test
