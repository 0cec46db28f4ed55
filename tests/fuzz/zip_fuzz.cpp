#include "models/torch/zip.h"
#include "tests/fuzz/torch_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pen::fuzz::read_torch_file(data, size);
}

#ifdef PENUMBRA_LIBFUZZER
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

// Repairs the CRC-32 of the pickle, which would otherwise keep nearly every change from being looked at.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 16 == 0) return size;
  try {
    const auto source = pen::torch::Source::memory({data, size}, "x");
    pen::torch::Budget budget(1 << 18);
    const auto entries = pen::torch::read_zip_directory(source, budget);
    const auto field = [&](std::size_t at) { return data[at] | data[at + 1] << 8; };
    for (const auto& e : entries) {
      if (!e.name.ends_with("/data.pkl")) continue;
      const std::uint32_t crc = pen::torch::crc_of(source, e.at, e.size);
      for (std::size_t i = 0; i + 46 + e.name.size() <= size; ++i) {
        if (std::memcmp(data + i, "PK\1\2", 4) != 0 || static_cast<std::size_t>(field(i + 28)) != e.name.size() ||
            std::memcmp(data + i + 46, e.name.data(), e.name.size()) != 0)
          continue;
        for (unsigned b = 0; b < 4; ++b) data[i + 16 + b] = static_cast<std::uint8_t>(crc >> 8 * b);
      }
    }
  } catch (const pen::Error&) {
  }
  return size;
}
#endif
