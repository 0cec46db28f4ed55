// Without libFuzzer: replays a target's corpus, and damaged copies of each file of it.
//   <target> CORPUS_FOLDER
// Each corpus file is one case. A file named good_* must be accepted, one named bad_* must be refused; others (what
// fuzzing found) only have to be survived, as do the copies.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/rng.h"
#include "tests/fuzz/fuzz.h"

namespace {

constexpr int kCopies = 200;
// Damaged copies of larger files are made of their beginning only, which holds all that is parsed.
constexpr std::size_t kLargestCopy = 4096;

using Bytes = std::vector<std::uint8_t>;

// An allocation of its own for each input, of exactly its size: an over-read is then visible to valgrind and
// sanitizers.
void feed(const Bytes& bytes) {
  const Bytes exact(bytes);
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

Bytes damaged(Bytes bytes, pen::Rng& rng) {
  bytes.resize(std::min(bytes.size(), kLargestCopy));
  for (std::uint64_t i = 0, count = 1 + rng.below(4); i < count && !bytes.empty(); ++i) {
    const auto at = static_cast<std::ptrdiff_t>(rng.below(bytes.size()));
    switch (rng.below(5)) {
      case 0:
        bytes[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(rng.below(256));
        break;
      case 1:
        bytes[static_cast<std::size_t>(at)] ^= static_cast<std::uint8_t>(1u << rng.below(8));
        break;
      case 2:
        bytes.resize(static_cast<std::size_t>(at));
        break;
      case 3:
        bytes.erase(bytes.begin() + at);
        break;
      default: {
        const Bytes tail(bytes.begin() + at, bytes.end());
        bytes.insert(bytes.begin() + at, tail.begin(), tail.end());
      }
    }
  }
  return bytes;
}

// "" if all is well.
std::string replay(const std::filesystem::path& path) {
  try {
    const Bytes bytes = pen::read_file(path.string(), std::uint64_t{64} << 20);
    feed(bytes);
    const std::string name = path.filename().string();
    if (name.starts_with("good_") && !pen::fuzz::accepted) return "was refused, but must be accepted";
    if (name.starts_with("bad_") && pen::fuzz::accepted) return "was accepted, but must be refused";
    pen::Rng rng(std::hash<std::string>{}(name));
    for (int i = 0; i < kCopies; ++i) feed(damaged(bytes, rng));
  } catch (const std::exception& error) {
    return std::string("threw ") + error.what();
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[1], error))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  int failed = 0;
  for (const auto& file : files) {
    // Said before, so that a crash names its input.
    std::printf("%s\n", file.c_str());
    std::fflush(stdout);
    const std::string problem = replay(file);
    if (problem.empty()) continue;
    ++failed;
    std::printf("FAILED: %s %s\n", file.c_str(), problem.c_str());
  }
  if (files.empty()) {
    std::printf("FAILED: no files in '%s'\n", argv[1]);
    failed = 1;
  }
  std::printf("cases: %d passed, %d failed, 0 skipped\n", static_cast<int>(files.size()) - (files.empty() ? 0 : failed),
              failed);
  return failed == 0 ? 0 : 1;
}
