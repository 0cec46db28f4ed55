#include "data/metadata.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <numeric>

#include "base/file.h"
#include "data/boxes.h"
#include "data/json_text.h"
#include "tests/scratch.h"

using namespace pen;
using test::check_error;

namespace {

const std::string kGood =
    R"({"root": "/d", "samples": [["/d/a/1.png", 0], ["/d/b/x.y/2.png", 1]], "classes": ["a", "b"],)"
    R"( "class_to_idx": {"a": 0, "b": 1}})";

void check_bad(const std::string& text, std::initializer_list<std::string> parts) {
  CAPTURE(text);
  check_error(ErrorKind::data, parts, [&] { Metadata::parse(text, "m.json"); });
  check_error(ErrorKind::data, {"'m.json'"}, [&] { Metadata::parse(text, "m.json"); });
}

}  // namespace

TEST_CASE("metadata: reads what Python writes") {
  const Metadata m = Metadata::parse(kGood, "m.json");
  CHECK(m.size() == 2);
  CHECK(m.root() == "/d");
  CHECK(m.path(0) == "/d/a/1.png");
  CHECK(m.path_view(1) == "/d/b/x.y/2.png");
  CHECK(m.label(1) == 1);
  CHECK(m.classes() == std::vector<std::string>{"a", "b"});
  CHECK(m.class_index("b") == 1);
  CHECK(m.class_index("c") == -1);
  CHECK_THROWS_AS(m.path(2), Error);
  CHECK_THROWS_AS(m.label(-1), Error);
}

TEST_CASE("metadata: escapes, any order of keys, unknown keys of any shape, indentation") {
  const Metadata m = Metadata::parse(
      "{\n  \"note\": {\"a\": [1, {\"b\": null}], \"c\": NaN},\n  \"classes\": [\"caf\\u00e9\"],\n \"samples\":\n"
      " [[\"\\ud83d\\ude00/\\\"q\\\\.png\", 0]], \"root\": \"\", \"list\": [[1], 2.5, true], \"last\": 3}",
      "m.json");
  CHECK(m.size() == 1);
  CHECK(m.path(0) == "\xF0\x9F\x98\x80/\"q\\.png");
  CHECK(m.classes()[0] == "caf\xC3\xA9");
}

TEST_CASE("metadata: what is written is Python's text, and reads back") {
  test::ScratchFolder folder;
  Metadata::parse(kGood, "m.json").write(folder / "out.json");
  CHECK(test::slurp(folder / "out.json") == kGood);

  Metadata odd("r\tt", {"caf\xC3\xA9", "\xF0\x9F\x98\x80"});
  odd.add("a\"b\\c\n\x01\x7f.png", 1);
  odd.write(folder / "odd.json");
  // json.dumps of the same value
  CHECK(test::slurp(folder / "odd.json") ==
        "{\"root\": \"r\\tt\", \"samples\": [[\"a\\\"b\\\\c\\n\\u0001\x7f.png\", 1]], \"classes\": [\"caf\\u00e9\", "
        "\"\\ud83d\\ude00\"], \"class_to_idx\": {\"caf\\u00e9\": 0, \"\\ud83d\\ude00\": 1}}");
  const Metadata back = Metadata::read(folder / "odd.json");
  CHECK(back.path(0) == odd.path(0));
  CHECK(back.classes() == odd.classes());
}

TEST_CASE("metadata: select keeps root and classes, takes samples in the order given") {
  const Metadata m = Metadata::parse(kGood, "m.json");
  const std::vector<std::uint32_t> order = {1, 0, 1};
  const Metadata s = m.select(order);
  CHECK(s.size() == 3);
  CHECK(s.path(0) == m.path(1));
  CHECK(s.path(1) == m.path(0));
  CHECK(s.label(2) == 1);
  CHECK(s.root() == "/d");
  CHECK(s.classes() == m.classes());
}

TEST_CASE("metadata: malformed JSON is named with line and column") {
  check_bad("", {"line 1, column 1"});
  check_bad("{\"root\": \"x\",\n \"samples\": [[\"a\", 0], }", {"line 2, column 24", "not valid JSON"});
  check_bad(kGood.substr(0, kGood.size() / 2), {"line 1, column"});
  check_bad(kGood + "x", {"not valid JSON", "line 1"});
  check_bad("{\"root\": \"\xff\"}", {"not valid JSON", "line 1"});
  check_bad(std::string(1000000, '['), {"line 1, column 1", "an object with root, samples"});
  check_bad("{\"x\": " + std::string(1000000, '['), {"not valid JSON"});
}

TEST_CASE("metadata: wrong types say which sample and what was expected") {
  check_bad("[]", {"an object with root, samples, classes and class_to_idx is expected, not a list"});
  check_bad("3", {"an object with root"});
  check_bad(R"({"root": 3})", {"'root' must be a string, not a number"});
  check_bad(R"({"samples": {}})", {"'samples' must be a list of [path, class index], not an object"});
  check_bad(R"({"samples": [["a", 0], "b"]})", {"sample 1 must be a list [path, class index], not a string"});
  check_bad(R"({"samples": [["a", 0], [3, 0]]})", {"the path of sample 1 must be a string, not a number"});
  check_bad(R"({"samples": [["a", "b"]]})", {"must be an integer, not a string"});
  check_bad(R"({"samples": [["a", 1.5]]})", {"must be an integer, not a fraction"});
  check_bad(R"({"samples": [["a", null]]})", {"must be an integer, not null"});
  check_bad(R"({"samples": [["a"]]})", {"the label of sample"});
  check_bad(R"({"samples": [[]]})", {"the path of sample 0 must be a string"});
  check_bad(R"({"samples": [["a", 0, 1]]})", {"must be [path, class index], nothing more, not a number"});
  check_bad(R"({"samples": [["", 0]]})", {"the path of sample 0 is empty"});
  check_bad(R"({"samples": [["a\u0000b", 0]]})", {"NUL"});
  check_bad(R"({"classes": "a"})", {"'classes' must be a list of names, not a string"});
  check_bad(R"({"classes": ["a", 1]})", {"class 1 must be a string"});
  check_bad(R"({"class_to_idx": ["a"]})", {"'class_to_idx' must be an object"});
  check_bad(R"({"class_to_idx": {"a": "b"}})", {"the index of 'a' must be an integer"});
  check_bad(R"({"root": "a", "root": "b"})", {"the key 'root' occurs twice"});
}

TEST_CASE("metadata: labels out of range, no samples, contradictory classes") {
  const auto with = [](const std::string& samples, const std::string& rest) {
    return str("{\"samples\": [", samples, "], ", rest, "}");
  };
  const std::string two = R"("classes": ["a", "b"])";
  check_bad(with(R"(["x", 0], ["y.png", 2])", two),
            {"sample 1 ('y.png') has label 2, but there are 2 classes (labels 0 to 1)"});
  check_bad(with(R"(["x", -1])", two), {"sample 0 ('x') has label -1"});
  check_bad(with(R"(["x", 4294967296])", two), {"has label 4294967296"});  // 0 in 32 bits
  check_bad(with(R"(["x", 18446744073709551615])", two), {"sample 0 ('x') has label"});
  check_bad(with("", two), {"there are no samples"});
  check_bad(with(R"(["x", 0])", R"("classes": [])"), {"there are no classes"});
  check_bad(with(R"(["x", 0])", R"("root": "")"), {"the key 'classes' is missing"});
  check_bad(str("{", two, "}"), {"the key 'samples' is missing"});
  check_bad(with(R"(["x", 0])", R"("classes": ["a", "a"])"), {"the class 'a' occurs twice"});
  check_bad(with(R"(["x", 0])", two + R"(, "class_to_idx": {"a": 1, "b": 0})"), {"class_to_idx gives 'a' the index 1"});
  check_bad(with(R"(["x", 0])", two + R"(, "class_to_idx": {"a": 0, "c": 1})"), {"does not list it"});
  check_bad(with(R"(["x", 0])", two + R"(, "class_to_idx": {"a": 0})"), {"class_to_idx has 1 names"});
}

TEST_CASE("metadata: a missing, empty or unreadable file is named") {
  test::ScratchFolder folder;
  check_error(ErrorKind::data, {"none.json", "No such file"}, [&] { Metadata::read(folder / "none.json"); });
  check_error(ErrorKind::data, {folder.path(), "not a file"}, [&] { Metadata::read(folder.path()); });
  test::put(folder / "empty.json", "");
  check_error(ErrorKind::data, {"empty.json", "is empty"}, [&] { Metadata::read(folder / "empty.json"); });
}

TEST_CASE("metadata: add refuses what could not be written or used") {
  Metadata m("r", {"a"});
  check_error(ErrorKind::data, {"not valid UTF-8"}, [&] { m.add("\xC3(.png", 0); });
  check_error(ErrorKind::data, {"label 1"}, [&] { m.add("x.png", 1); });
  CHECK(m.size() == 0);
  CHECK(is_plain_utf8("caf\xC3\xA9"));
  CHECK_FALSE(is_plain_utf8("\xC0\x80"));          // overlong
  CHECK_FALSE(is_plain_utf8("\xED\xA0\x80"));      // a surrogate
  CHECK_FALSE(is_plain_utf8("\xF4\x90\x80\x80"));  // beyond U+10FFFF
  CHECK_FALSE(is_plain_utf8("\xE2\x82"));          // cut
}

TEST_CASE("metadata: 1.28 million samples take their paths and 8 bytes each") {
  test::ScratchFolder folder;
  constexpr std::int64_t count = 1281167;
  std::size_t path_bytes = 0;
  {
    std::vector<std::string> classes;
    for (int c = 0; c < 1000; ++c) classes.push_back(str("n0", 1440764 + 11 * c));
    Metadata big("/data/imagenet/train", classes);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::string& name = classes[static_cast<std::size_t>(i % 1000)];
      const std::string path = str("/data/imagenet/train/", name, "/", name, "_", i, ".JPEG");
      path_bytes += path.size();
      big.add(path, i % 1000);
    }
    big.write(folder / "big.json");
  }
  const auto start = std::chrono::steady_clock::now();
  const Metadata m = Metadata::read(folder / "big.json");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto file_bytes = std::filesystem::file_size(folder / "big.json");
  CHECK(m.size() == count);
  CHECK(m.memory_bytes() == path_bytes + 8 * static_cast<std::size_t>(count));
  // Reading holds the mapped file, the block that is read into and, at its end, the block without its unused rest.
  CHECK(file_bytes + 2 * m.memory_bytes() < 400'000'000);
  CHECK(m.label(count - 1) == (count - 1) % 1000);
  CHECK(m.path(count - 1).ends_with(str("_", count - 1, ".JPEG")));
  std::printf("metadata of %lld samples: file %.1f MB, held %.1f MB, opened in %.2f s\n", static_cast<long long>(count),
              static_cast<double>(file_bytes) / 1e6, static_cast<double>(m.memory_bytes()) / 1e6, seconds);
}

TEST_CASE("image key: the file name up to its first dot, whatever the folders are called") {
  CHECK(image_key("/a.b/c.d/ILSVRC2012_val_00000001.JPEG") == "ILSVRC2012_val_00000001");
  CHECK(image_key("x.y.png") == "x");
  CHECK(image_key("./plain") == "plain");
}

TEST_CASE("boxes: write, read, find") {
  test::ScratchFolder folder;
  BoxTable table;
  CHECK(table.add("b", {{1, -2, 300, 4}, {0, 0, 5, 6}}));
  CHECK(table.add("a", {}));
  CHECK_FALSE(table.add("b", {}));
  table.write(folder / "boxes.json");
  CHECK(test::slurp(folder / "boxes.json") ==
        R"({"b": [{"xmin": 1, "ymin": -2, "xmax": 300, "ymax": 4}, {"xmin": 0, "ymin": 0, "xmax": 5, "ymax": 6}],)"
        R"( "a": []})");
  const BoxTable back = BoxTable::read(folder / "boxes.json");
  CHECK(back.size() == 2);
  REQUIRE(back.find("b"));
  CHECK((*back.find("b"))[0] == Box{1, -2, 300, 4});
  CHECK(back.find("a")->empty());
  CHECK(back.find("c") == nullptr);
}

TEST_CASE("boxes: errors name file and key") {
  const auto bad = [](const std::string& text, std::initializer_list<std::string> parts) {
    CAPTURE(text);
    check_error(ErrorKind::data, parts, [&] { BoxTable::parse(text, "b.json"); });
  };
  bad("{", {"'b.json'", "line 1, column 2"});
  bad("[]", {"'b.json'", "object"});
  bad(R"({"k": 3})", {"'b.json'", "'k'", "list of boxes"});
  bad(R"({"k": [3]})", {"'k'", "object"});
  bad(R"({"k": [{"xmin": 1, "ymin": 2, "xmax": 3}]})", {"'k'", "no ymax"});
  bad(R"({"k": [{"xmin": 1.5, "ymin": 2, "xmax": 3, "ymax": 4}]})", {"xmin", "'k'", "integer"});
  bad(R"({"k": [{"xmin": 1, "ymin": "2", "xmax": 3, "ymax": 4}]})", {"ymin", "'k'", "integer"});
  bad(R"({"k": [{"xmin": 1, "ymin": 2, "xmax": 3e20, "ymax": 4}]})", {"xmax", "integer"});
  // RapidJSON's own reader of doubles left its table of powers here
  bad("{\"k\": [{\"xmin\": 0." + std::string(500, '0') + "1E-902, \"ymin\": 0, \"xmax\": 1}]}", {"'k'", "no ymax"});
  bad("{\"k\": [{\"xmin\": 99." + std::string(500, '0') + "2E-902}]}", {"'k'"});
  bad(R"({"k": [{"xmin": 1e309}]})", {"'b.json'", "line 1, column 17", "Number too big"});
  bad(R"({"k": [], "k": []})", {"'k' occurs twice"});
}
