#include "base/pages.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "tests/skip.h"

using namespace pen;

namespace {

struct Free {
  void operator()(unsigned char* memory) const { std::free(memory); }
};
using Bytes = std::unique_ptr<unsigned char, Free>;

Bytes bytes_of(std::size_t count) { return Bytes(static_cast<unsigned char*>(allocate_pages(count))); }

// Whether the kernel knows that the mapping with this address wants large pages ("hg" in its flags).
bool wants_large_pages(const void* memory) {
  const auto at = reinterpret_cast<std::uintptr_t>(memory);
  bool here = false;
  std::ifstream maps("/proc/self/smaps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t first = 0, last = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &first, &last) == 2) here = first <= at && at < last;
    if (here && line.starts_with("VmFlags:")) return (line + " ").find(" hg ") != std::string::npos;
  }
  return false;
}

}  // namespace

TEST_CASE("pages: addresses by size, and all bytes can be written") {
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, large_page - 1, large_page,
                                  large_page + 1, 5 * large_page + 12345}) {
    CAPTURE(count);
    const Bytes memory = bytes_of(count);
    REQUIRE(memory);
    CHECK(reinterpret_cast<std::uintptr_t>(memory.get()) % (count < large_page ? 64 : large_page) == 0);
    std::memset(memory.get(), 7, count);
    if (count) CHECK(memory.get()[count - 1] == 7);
  }
}

TEST_CASE("pages: more than there can be is null") {
  CHECK(bytes_of(SIZE_MAX / 2).get() == nullptr);
  CHECK(bytes_of(SIZE_MAX).get() == nullptr);
}

TEST_CASE("pages: large arrays ask for large pages") {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage") || !std::ifstream("/proc/self/smaps")) {
    PEN_SKIP("this kernel has no large pages");
  }
  const Bytes large = bytes_of(4 * large_page);
  REQUIRE(large);
  large.get()[0] = 1;
  CHECK(wants_large_pages(large.get()));
}
