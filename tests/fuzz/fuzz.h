// What the fuzz targets share. A target reads untrusted bytes; the only way out besides success is an Error of the kind
// that its reader promises. Anything else (another exception, a signal, a sanitizer's report) is a finding.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace pen::fuzz {

// Whether the last input was taken. The replay compares it with the corpus file's name (good_..., bad_...).
inline bool accepted = false;

template <class Read>
int run(ErrorKind promised, const std::uint8_t* data, std::size_t size, const Read& read) {
  accepted = false;
  try {
    read(std::span<const std::uint8_t>(data, size));
    accepted = true;
  } catch (const Error& error) {
    if (error.kind() != promised || error.what()[0] == '\0') {
      std::fprintf(stderr, "an error of kind %d: %s\n", static_cast<int>(error.kind()), error.what());
      std::abort();
    }
  }
  return 0;
}

// For what must hold of everything that a reader has accepted.
inline void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

}  // namespace pen::fuzz
