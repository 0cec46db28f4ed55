#include <cstdio>

#include "tests/fuzz/torch_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pen::fuzz::read_torch_file(data, size);
}

#ifdef PENUMBRA_LIBFUZZER
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

// Repairs the checksums of the headers, which would otherwise keep nearly every change from being looked at.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 16 == 0) return size;
  for (std::size_t at = 0; at + 512 <= size; at += 512) {
    if (std::memcmp(data + at + 257, "ustar", 5) != 0) continue;
    unsigned sum = 8 * ' ';
    for (std::size_t i = 0; i < 512; ++i)
      if (i < 148 || i >= 156) sum += data[at + i];
    char octal[9];
    std::snprintf(octal, sizeof octal, "%06o", sum & 0777777u);
    octal[7] = ' ';
    std::memcpy(data + at + 148, octal, 8);
  }
  return size;
}
#endif
