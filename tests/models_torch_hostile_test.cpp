// Hostile PyTorch files: each is refused with one line that names file, entry, byte and reason, and none of them takes
// more memory than max(64 MiB, 4 times the file).
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <new>
#include <set>

#include "models/torch_checkpoint.h"
#include "tests/paths.h"
#include "tests/program.h"
#include "tests/scratch.h"

namespace {

std::atomic<std::size_t> live{0}, peak{0}, largest{0};

void* counted(std::size_t n) {
  constexpr std::size_t head = 16;
  auto* block = static_cast<std::size_t*>(std::malloc(n + head));
  if (!block) throw std::bad_alloc();
  *block = n;
  const std::size_t now = live += n;
  if (now > peak) peak = now;
  if (n > largest) largest = n;
  return reinterpret_cast<char*>(block) + head;
}

void released(void* p) {
  if (!p) return;
  auto* block = reinterpret_cast<std::size_t*>(static_cast<char*>(p) - 16);
  live -= *block;
  std::free(block);
}

}  // namespace

void* operator new(std::size_t n) { return counted(n); }
void* operator new[](std::size_t n) { return counted(n); }
void operator delete(void* p) noexcept { released(p); }
void operator delete[](void* p) noexcept { released(p); }
void operator delete(void* p, std::size_t) noexcept { released(p); }
void operator delete[](void* p, std::size_t) noexcept { released(p); }

using namespace pen;
using namespace pen::test;

namespace {

std::string corpus(const std::string& name) { return tests_folder() + "/fuzz/corpus/" + name; }

// tests/torch_refusals.txt: the file, a tab, and what is said of it after its name.
std::map<std::string, std::string> refusals() {
  std::map<std::string, std::string> out;
  std::istringstream in(slurp(tests_folder() + "/torch_refusals.txt"));
  for (std::string line; std::getline(in, line);) {
    const std::size_t tab = line.find('\t');
    REQUIRE(tab != std::string::npos);
    out[line.substr(0, tab)] = line.substr(tab + 1);
  }
  return out;
}

// What reading the bytes says, "" if they are accepted; and the memory it took at most.
struct Outcome {
  std::string said;
  std::size_t memory = 0;
};
Outcome outcome(const std::string& bytes) {
  Outcome out;
  const std::span<const std::uint8_t> data(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  const std::size_t before = live;
  peak = before;
  try {
    checkpoint_of(*torch::File::parse(torch::Source::memory(data, "x")));
  } catch (const Error& error) {
    out.said = error.what();
    CHECK(error.kind() == ErrorKind::checkpoint);
  }
  out.memory = peak - before;
  return out;
}

std::size_t allowed(std::size_t file) { return std::max<std::size_t>(64 << 20, 4 * file); }

// A legacy file up to its object pickle.
std::string legacy_head() {
  using namespace std::string_literals;
  return "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03."s +
         "\x80\x02}X\r\0\0\0little_endian\x88s.\x80\x02"s;
}

std::string repeated(const std::string& piece, std::size_t bytes) {
  std::string out;
  while (out.size() < bytes) out += piece;
  return out;
}

}  // namespace

TEST_CASE("every hostile file of the corpus is refused in its own words, within the memory bound") {
  const std::map<std::string, std::string> expected = refusals();
  std::set<std::string> seen;
  for (const std::string kind : {"pickle", "zip", "tar"})
    for (const auto& entry : std::filesystem::directory_iterator(corpus(kind))) {
      const std::string name = kind + "/" + entry.path().filename().string();
      CAPTURE(name);
      const std::string bytes = slurp(entry.path().string());
      const Outcome got = outcome(bytes);
      CHECK(got.memory <= allowed(bytes.size()));
      CHECK(got.said.find('\n') == std::string::npos);
      if (contains(name, "/good_")) CHECK(got.said.empty());
      if (contains(name, "/bad_")) CHECK_MESSAGE(expected.count(name) == 1, got.said);
      if (!expected.count(name)) continue;
      CHECK(got.said == "'x': " + expected.at(name));
      seen.insert(name);
    }
  CHECK(seen.size() == expected.size());
  CHECK(seen.size() > 150);
}

TEST_CASE("memory bombs of 6 MB are refused, or read, within 64 MiB") {
  constexpr std::size_t size = 6 << 20;
  std::string counted_puts = "}";
  for (std::uint32_t i = 0; counted_puts.size() < size; ++i) {
    counted_puts += 'r';
    counted_puts.append(reinterpret_cast<const char*>(&i), 4);
  }
  std::string wide = "]q";
  wide += '\0';
  wide += '(' + repeated(std::string("h\0", 2), size) + 'e';
  const std::map<std::string, std::string> bombs{
      {"none", repeated("N", size)},
      {"marks", repeated("(", size)},
      {"lists", repeated("]", size)},
      {"nested lists", repeated("]", size / 2) + repeated("a", size / 2)},
      {"nested tuples", ")" + repeated("\x85", size)},
      {"duplicates", "}" + repeated("2", size)},
      {"memo", counted_puts},
      {"memoize", "}" + repeated("\x94", size)},
      {"a list of itself", wide},
      {"empty texts", repeated(std::string("\x8c\0", 2), size)},
      {"texts", repeated("\x8c\x10"
                         "sixteen bytes...",
                         size)},
      {"integers", repeated("K\1", size)},
      {"long integers", repeated("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", size)},
      {"names", repeated("ca\nb\n", size)},
      {"objects", repeated("ca\nb\n)\x81", size)},
      {"dictionaries", repeated("}K\1Ns", size)},
      {"ordered dictionaries",
       "ccollections\nOrderedDict\nq" + std::string(1, '\0') + repeated(std::string("h\0)R", 4), size)},
      {"encodings", "c_codecs\nencode\nq" + std::string(1, '\0') + "X" + std::string("\0\0\x10\0", 4) +
                        repeated("a", 1 << 20) + "q\1X" + std::string("\6\0\0\0", 4) + "latin1q\2" +
                        repeated(std::string("h\0h\1h\2\x86R", 8), size)},
  };
  for (const auto& [name, body] : bombs) {
    CAPTURE(name);
    const std::string file = legacy_head() + body + ".";
    const Outcome got = outcome(file);
    CHECK(!got.said.empty());
    CAPTURE(got.said);
    CHECK(got.memory <= allowed(file.size()));
    CHECK(contains(got.said, "byte "));
  }
  // Tensors that share one small storage again and again.
  std::string tensors = "}q";
  tensors += '\0';
  tensors += "(";
  std::string head = slurp(corpus("pickle/good_tensor.pth"));
  const std::size_t begin = head.find("ctorch._utils"), end = head.find("Rs.", begin) + 1;
  const std::string one = head.substr(begin, end - begin);
  for (int i = 0; i < 4000; ++i) {
    const std::string key = std::to_string(i);
    tensors += std::string("X") + static_cast<char>(key.size()) + std::string(3, '\0') + key + one;
  }
  const std::string tail = head.substr(head.find("s.", end) + 2);
  const Outcome shared = outcome(legacy_head() + tensors + "u." + tail);
  CHECK(shared.said == "");
  CHECK(shared.memory <= 64 << 20);
}

TEST_CASE("no single allocation follows a claimed size") {
  for (const std::string name : {"pickle/bad_text8_length.pth", "pickle/bad_long4_length.pth", "pickle/expand.pth",
                                 "zip/bad_zip64_size.pth", "zip/bad_count_huge.pth", "zip/bad_payload_outside.pth",
                                 "tar/bad_storage_elements.pth", "tar/bad_oversized.pth", "tar/bad_tensor_count.pth",
                                 "tar/bad_storage_count.pth", "pickle/bad_count_differs.pth"}) {
    CAPTURE(name);
    const std::string bytes = slurp(corpus(name));
    largest = 0;
    CHECK(!outcome(bytes).said.empty());
    CHECK(largest <= 1 << 20);
  }
}

TEST_CASE("more than 1000 members, and other things too large for the corpus") {
  const std::string member = slurp(corpus("tar/good_plain.pth")).substr(0, 512);
  std::string many;
  for (int i = 0; i < 1001; ++i) {
    std::string h = member;
    const std::string name = std::to_string(1000 + i);
    h.replace(0, 8, name + std::string(4, '\0'));
    h.replace(124, 12, std::string("00000000000\0", 12));
    h.replace(148, 8, "        ");
    unsigned sum = 0;
    for (const char c : h) sum += static_cast<unsigned char>(c);
    char text[8];
    std::snprintf(text, sizeof text, "%06o", sum);
    h.replace(148, 7, std::string(text, 7));
    many += h;
  }
  CHECK(contains(outcome(many).said, "more than 1000 members"));
  for (const auto& [bytes, part] : std::map<std::string, std::string>{{"", "the file is empty"},
                                                                      {"PYTORCH1 and more", "PyTorch 1.0's preview"},
                                                                      {"\x93NUMPY\x01", "a NumPy array"},
                                                                      {"\x80\x02}.", "a bare pickle"},
                                                                      {"nothing known", "the format is unknown"},
                                                                      {"PK\x03\x04", "zip directory: byte 4:"}}) {
    CAPTURE(part);
    CHECK(contains(outcome(bytes).said, part));
  }
}
