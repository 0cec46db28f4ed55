// How much memory this process has had.
#pragma once

#include <cstdint>

namespace pen {

// Largest resident memory in bytes since reset_peak_resident(), or since the start where the system cannot reset it.
std::int64_t peak_resident_bytes();
void reset_peak_resident();

}  // namespace pen
