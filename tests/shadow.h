// What a sanitizer adds to memory that is measured from outside.
#pragma once

namespace pen::test {

// Resident bytes for each byte that the program touches: ThreadSanitizer keeps four bytes of shadow for each.
#if defined(__SANITIZE_THREAD__)
inline constexpr double resident_per_byte = 5;
#else
inline constexpr double resident_per_byte = 1;
#endif

}  // namespace pen::test
