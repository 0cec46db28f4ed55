// Fields of bits (kernels::bit_bytes) on the CPU: whole bytes at a time, by all threads.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace pen::kernels::cpu {

// bits = 1 where y > 0, n of them; T is float, double, bf16 or f16
template <class T>
void pack_positive(std::int64_t n, const T* y, std::uint8_t* bits);

// A byte, 0 or 1, for each of n bits, in the calling thread's scratch memory (slot 2) until the next use of it: the
// form that oneDNN's post-operations read.
const std::uint8_t* bytes_of_bits(std::int64_t n, const std::uint8_t* bits);

// to = from where a bit is 1, else slope * from; to may be from. T is float, double, bf16 or f16
template <class T>
void gate_bits(std::int64_t n, double slope, const std::uint8_t* bits, const T* from, T* to);

}  // namespace pen::kernels::cpu
