#include "base/pages.h"

#include <sys/mman.h>

#include <cstdlib>

namespace pen {

void* allocate_pages(std::size_t bytes) noexcept {
  const bool large = bytes >= large_page;
  void* memory = nullptr;
  if (posix_memalign(&memory, large ? large_page : 64, bytes) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  if (large) madvise(memory, bytes, MADV_HUGEPAGE);  // advice: what it answers changes nothing
#endif
  return memory;
}

}  // namespace pen
