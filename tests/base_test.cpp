#include <doctest/doctest.h>

#include <filesystem>
#include <numeric>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/rng.h"

using namespace pen;

TEST_CASE("philox: the known answers of the paper's test vectors") {
  const Philox4 zero = philox(0, 0, 0);
  CHECK(zero.v[0] == 0x6627e8d5u);
  CHECK(zero.v[1] == 0xe169c58du);
  CHECK(zero.v[2] == 0xbc57ac4cu);
  CHECK(zero.v[3] == 0x9b00dbd8u);
  const std::uint64_t ones = ~std::uint64_t{0};
  const Philox4 all = philox(ones, ones, ones);
  CHECK(all.v[0] == 0x408f276du);
  CHECK(all.v[1] == 0x41c83b0eu);
  CHECK(all.v[2] == 0xa20bc7c6u);
  CHECK(all.v[3] == 0x6d5451fdu);
}

TEST_CASE("Rng: position is the whole state") {
  Rng a(7, 3);
  for (int i = 0; i < 11; ++i) a.uniform();
  Rng b(7, 3, a.position());
  for (int i = 0; i < 9; ++i) CHECK(a.normal() == b.normal());
  std::vector<int> seen(5);
  for (int i = 0; i < 500; ++i) ++seen[a.below(5)];
  for (const int n : seen) CHECK(n > 50);
}

TEST_CASE("MT19937: first outputs for seed 5489") {
  Mt19937 rng(5489);
  CHECK(rng.next() == 3499211612u);
  CHECK(rng.next() == 581869302u);
}

TEST_CASE("parallel_for covers [0, n) once, and rethrows") {
  for (const std::int64_t n : {0, 1, 2, 7, 1001}) {
    std::vector<int> hits(static_cast<std::size_t>(n));
    parallel_for(n, 1, [&](std::int64_t b, std::int64_t e) {
      for (auto i = b; i < e; ++i) ++hits[static_cast<std::size_t>(i)];
    });
    for (const int h : hits) CHECK(h == 1);
  }
  CHECK_THROWS_AS(parallel_for(100, 1, [](std::int64_t, std::int64_t) { fail(ErrorKind::data, "x"); }), Error);
}

TEST_CASE("AtomicFile: complete or absent") {
  const auto folder = std::filesystem::temp_directory_path() / "penumbra_base_test";
  std::filesystem::remove_all(folder);
  make_folders(folder.string());
  const std::string path = (folder / "a.txt").string();
  write_file(path, "old");
  {
    AtomicFile file(path);
    file.write("new and longer");
  }  // no commit
  CHECK(read_file(path, 100).size() == 3);
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 1);
  write_file(path, "new");
  const auto bytes = read_file(path, 100);
  CHECK(std::string(bytes.begin(), bytes.end()) == "new");
  CHECK_THROWS_WITH_AS(read_file(path, 2), doctest::Contains("more than the 2 allowed"), Error);
  CHECK_THROWS_WITH_AS(read_file(path + "x", 2), doctest::Contains("cannot open"), Error);
  std::filesystem::remove_all(folder);
}

TEST_CASE("JSON: errors have a place, doubles survive") {
  CHECK_THROWS_WITH_AS(parse_json("{\"a\": 1,\n \"b\" 2}", "f.json"), doctest::Contains("line 2, column"), Error);
  JsonWriter w;
  w.begin_object().field("x", 0.1).field("n", 3).field("s", "a\"b").field("t", true).key("l").begin_array();
  w.value(1.0).value(2).end_array().end_object();
  CHECK(w.text() == R"({"x": 0.1, "n": 3, "s": "a\"b", "t": true, "l": [1.0, 2]})");
  CHECK(parse_json(w.text(), "w")["x"].GetDouble() == 0.1);
}
