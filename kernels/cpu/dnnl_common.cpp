#include "kernels/cpu/dnnl_common.h"

#include <cstdlib>
#include <new>

#include "base/pages.h"

namespace pen::kernels::cpu {

const dnnl::engine& dnnl_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& dnnl_stream() {
  thread_local dnnl::stream stream(dnnl_engine());
  return stream;
}

void* scratch(std::size_t bytes, int slot) {
  struct Block {
    void* data = nullptr;
    std::size_t size = 0;
    ~Block() { std::free(data); }
  };
  constexpr int slots = 6;
  thread_local Block blocks[slots];
  PEN_CHECK(slot >= 0 && slot < slots, "scratch: no slot ", slot);
  Block& block = blocks[slot];
  if (block.size < bytes) {
    std::free(block.data);
    block.size = 0;
    block.data = allocate_pages(bytes);
    if (!block.data) throw std::bad_alloc();
    block.size = bytes;
  }
  return block.data;
}

void guarded(const char* kernel, const std::function<void()>& call) {
  try {
    call();
  } catch (const dnnl::error& error) {
    fail(ErrorKind::run, str(kernel, ": oneDNN reports status ", static_cast<int>(error.status), ", ", error.message));
  }
}

}  // namespace pen::kernels::cpu
