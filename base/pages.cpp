#include "base/pages.h"

#include <sys/mman.h>

#include <cstdlib>

namespace pen {

void* allocate_pages(std::size_t bytes) noexcept {
  const bool large = bytes >= large_page;
  void* memory = nullptr;
  if (large && posix_memalign(&memory, large_page, bytes) != 0) memory = nullptr;
  // A border takes up to a page of addresses, which may be what a limit does not leave.
  if (!memory && posix_memalign(&memory, 64, bytes) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  if (large) madvise(memory, bytes, MADV_HUGEPAGE);  // advice: what it answers changes nothing
#endif
  return memory;
}

}  // namespace pen
