// A checkpoint of 100 MB opens in little more memory than it is large, in every format; times are printed. Each read is
// a process of its own, so that what another one left in the heap does not count.
#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "models/torch_checkpoint.h"
#include "tests/scratch.h"
#include "tests/shadow.h"

using namespace pen;
using namespace pen::test;

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double peak_memory() {  // bytes of this process at most so far
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

// Runs `body` in a child; true if it returned true.
template <class Body>
bool in_child(const Body& body) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    bool good = false;
    try {
      good = body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    std::fflush(stdout);
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Checkpoint large() {
  Checkpoint out;
  out.facts["epoch"] = "1";
  for (int i = 0; i < 50; ++i)
    out.parts["state_dict_classifier"].push_back({str("layer", i, ".weight"), Tensor::full({512, 1000}, i)});
  return out;
}

}  // namespace

TEST_CASE("100 MB in every format: memory below 1.2 times the file; opening and reading time beside the disk's") {
  const ScratchFolder folder;
  REQUIRE(in_child([&] {
    write_torch(folder / "zip", large(), torch::Format::zip);
    write_torch(folder / "legacy", large(), torch::Format::legacy);
    write_safetensors(folder / "safetensors", large());
    return true;
  }));
  for (const std::string format : {"zip", "legacy", "safetensors"}) {
    CAPTURE(format);
    const std::string path = folder / format;
    const auto size = static_cast<double>(std::filesystem::file_size(path));
    CHECK(size > 102e6);
    CHECK(in_child([&] {
      const double before = peak_memory();
      auto start = std::chrono::steady_clock::now();
      const Checkpoint got = read_checkpoint(path);
      const double ours = seconds_since(start), grown = (peak_memory() - before) / resident_per_byte;
      const bool equal =
          got.parts.at("state_dict_classifier").back().tensor.to_vector<float>() == std::vector<float>(512000, 49.0f);
      start = std::chrono::steady_clock::now();
      const std::size_t bytes = read_file(path, std::uint64_t{1} << 30).size();
      std::printf("%s of %.1f MB: read in %.3f s (its plain bytes in %.3f s), memory %.2f of its size\n",
                  format.c_str(), static_cast<double>(bytes) * 1e-6, ours, seconds_since(start), grown / size);
      return equal && grown > 0.9 * size && grown < 1.2 * size;
    }));
  }
}
