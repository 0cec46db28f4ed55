// Large arrays of the host in large pages.
#pragma once

#include <cstddef>

namespace pen {

// Bytes of a large page, on x86-64 and on ARM with pages of 4 KiB.
constexpr std::size_t large_page = std::size_t{2} << 20;

// Uninitialised memory at a multiple of 64; null if there is none. To be released by std::free. From a large page on it
// begins at one's border, if there is room for that, and the system is asked to use them: rows of an activation are
// kilobytes apart, so with pages of 4 KiB each row of a product is another page, and the processor spends its time on
// looking up where they are. A system without large pages gives others.
void* allocate_pages(std::size_t bytes) noexcept;

}  // namespace pen
