#include "kernels/cpu/bits.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/parallel.h"
#include "kernels/cpu/dnnl_common.h"

namespace pen::kernels::cpu {
namespace {

static_assert(std::endian::native == std::endian::little, "a byte of bits is turned into eight bytes in memory order");

constexpr std::int64_t grain = 4096;  // bytes of bits that are worth waking a thread for

// The eight bytes, 0 or 1, of each byte of bits.
constexpr std::array<std::uint64_t, 256> spread_table = [] {
  std::array<std::uint64_t, 256> table{};
  for (std::uint64_t byte = 0; byte < 256; ++byte)
    for (std::uint64_t i = 0; i < 8; ++i) table[byte] |= (byte >> i & 1) << (8 * i);
  return table;
}();

}  // namespace

void pack_positive(std::int64_t n, const float* y, std::uint8_t* bits) {
  parallel_for(bit_bytes(n), grain, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t whole = std::min(end, n / 8);
    for (std::int64_t j = begin; j < whole; ++j) {
      unsigned byte = 0;
      for (int i = 0; i < 8; ++i) byte |= static_cast<unsigned>(y[8 * j + i] > 0) << i;
      bits[j] = static_cast<std::uint8_t>(byte);
    }
    if (end > whole && whole >= begin) {
      unsigned byte = 0;
      for (std::int64_t i = 8 * whole; i < n; ++i) byte |= static_cast<unsigned>(y[i] > 0) << (i % 8);
      bits[whole] = static_cast<std::uint8_t>(byte);
    }
  });
}

const std::uint8_t* bytes_of_bits(std::int64_t n, const std::uint8_t* bits) {
  const std::int64_t count = bit_bytes(n);
  auto* bytes = static_cast<std::uint8_t*>(scratch(static_cast<std::size_t>(8 * count), 2));
  parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j) std::memcpy(bytes + 8 * j, &spread_table[bits[j]], 8);
  });
  return bytes;
}

void gate_bits(std::int64_t n, const std::uint8_t* bits, float* y) {
  parallel_for(bit_bytes(n), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j) {
      const unsigned byte = bits[j];
      const std::int64_t count = std::min<std::int64_t>(8, n - 8 * j);
      for (std::int64_t i = 0; i < count; ++i) y[8 * j + i] = byte >> i & 1 ? y[8 * j + i] : 0.0f;
    }
  });
}

}  // namespace pen::kernels::cpu
