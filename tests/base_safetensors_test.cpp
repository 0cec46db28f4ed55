// safetensors: what is written is read back, and what violates the format is refused in words.
#include <doctest/doctest.h>

#include <cstring>

#include "base/check.h"
#include "tensor/safetensors.h"
#include "tests/scratch.h"

using namespace pen;

namespace {

std::vector<std::uint8_t> file_of(const std::string& header, std::size_t data) {
  std::vector<std::uint8_t> bytes(8 + header.size() + data);
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  return bytes;
}

void refused(const std::vector<std::uint8_t>& bytes, const char* words) {
  CAPTURE(words);
  try {
    SafetensorsFile::parse(bytes, "f.safetensors");
    FAIL_CHECK("accepted");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::checkpoint);
    CHECK_MESSAGE(std::string(error.what()).find(words) != std::string::npos, error.what());
    CHECK(std::string(error.what()).find("f.safetensors") != std::string::npos);
  }
}

}  // namespace

TEST_CASE("safetensors: what is written is read back") {
  test::ScratchFolder folder;
  const std::vector<float> f{1.5f, -2, 3};
  const std::vector<double> d{0.1};
  const std::vector<std::int64_t> i{-5, 1LL << 40};
  SafetensorsWriter writer;
  writer.metadata("unicode", "\xc3\xa4 \"quoted\"");
  writer.add("a", "F32", {3, 1}, f.data());
  writer.add("scalar", "F64", {}, d.data());
  writer.add("ids", "I64", {2}, i.data());
  writer.add("empty", "F32", {0, 7}, nullptr);
  CHECK_THROWS_AS(writer.add("a", "F32", {3}, f.data()), Error);
  writer.write(folder / "w.safetensors");
  const SafetensorsFile file = SafetensorsFile::open(folder / "w.safetensors");
  CHECK(file.order() == std::vector<std::string>{"a", "scalar", "ids", "empty"});
  CHECK(file.metadata().at("unicode") == "\xc3\xa4 \"quoted\"");
  CHECK(file.at("a").shape == std::vector<std::int64_t>{3, 1});
  CHECK(std::memcmp(file.at("a").bytes.data(), f.data(), 12) == 0);
  CHECK(std::memcmp(file.at("scalar").bytes.data(), d.data(), 8) == 0);
  CHECK(std::memcmp(file.at("ids").bytes.data(), i.data(), 16) == 0);
  CHECK(file.at("empty").bytes.empty());
  CHECK_THROWS_WITH_AS(file.at("b"), doctest::Contains("has no tensor 'b'"), Error);
}

TEST_CASE("safetensors: what violates the format is refused in words") {
  refused({1, 2, 3}, "3 bytes, fewer than its 8-byte header length");
  std::vector<std::uint8_t> lying = file_of("{}", 0);
  lying[0] = 200;
  refused(lying, "its header claims 200 bytes, the file has 2");
  refused(file_of("{\"a\": 1}", 0), "entry 'a' is not an object");
  refused(file_of("[1]", 0), "not a JSON object");
  refused(file_of("{\"a\" 1}", 0), "not valid JSON at line 1");
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& at) {
    return "{\"a\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + at + "}}";
  };
  refused(file_of(one("F32", "[2]", "[0,12]"), 12), "tensor 'a' has 12 bytes, its shape and dtype need 8");
  refused(file_of(one("F32", "[2]", "[0,8]"), 4), "lies at bytes 0..8 of 4");
  refused(file_of(one("F32", "[2]", "[8,0]"), 8), "lies at bytes 8..0");
  refused(file_of(one("F99", "[2]", "[0,8]"), 8), "unknown dtype 'F99'");
  refused(file_of(one("F32", "[-2]", "[0,8]"), 8), "bad shape");
  refused(file_of(one("F32", "[4294967296,4294967296,4]", "[0,8]"), 8), "overflows");
  refused(file_of(one("F32", "[1]", "[4,8]"), 8), "hole before tensor 'a'");
  refused(file_of(one("F32", "[1]", "[0,4]"), 8), "its data ends at byte 4, the file goes on to 8");
  const std::string two =
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],"
      "\"data_offsets\":[4,12]}}";
  refused(file_of(two, 12), "overlaps");
}
