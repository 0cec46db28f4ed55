// Memory of either device behind one set of functions.
#include <cstdlib>
#include <cstring>

#include "kernels/cuda/device.h"
#include "kernels/kernels.h"

namespace pen::kernels::device {

int cuda_count() { return cuda::device_count(); }
std::string cuda_description(int index) { return cuda::device_description(index); }

void* allocate(Device device, std::size_t bytes) {
  if (device.is_cuda()) return cuda::device_allocate(device.index, bytes);
  void* memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  PEN_CHECK(memory != nullptr, "out of memory: ", bytes >> 20, " MiB were refused");
  return memory;
}

void release(Device device, void* memory) noexcept {
  if (device.is_cuda()) return cuda::device_release(device.index, memory);
  std::free(memory);
}

void copy(Device to, void* destination, Device from, const void* source, std::size_t bytes, void* stream) {
  if (to.is_cuda() || from.is_cuda()) return cuda::device_copy(to, destination, from, source, bytes, stream);
  if (bytes) std::memcpy(destination, source, bytes);
}

void zero(Device device, void* memory, std::size_t bytes, void* stream) {
  if (device.is_cuda()) return cuda::device_zero(device.index, memory, bytes, stream);
  if (bytes) std::memset(memory, 0, bytes);
}

void synchronize(Device device) {
  if (device.is_cuda()) cuda::device_synchronize(device.index);
}

void* stream(Device device) { return device.is_cuda() ? cuda::device_stream(device.index) : nullptr; }

}  // namespace pen::kernels::device
