// Memory of either device behind one set of functions.
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <utility>

#include "base/log.h"
#include "base/pages.h"
#include "kernels/cuda/device.h"
#include "kernels/kernels.h"

namespace pen::kernels {
namespace {
std::atomic<device::ShortageHandler> shortage_handler = nullptr;
}
void cuda::tell_shortage(int index, std::size_t bytes, bool last) {
  if (const device::ShortageHandler handler = shortage_handler) handler({Device::Kind::cuda, index}, bytes, last);
}
}  // namespace pen::kernels

namespace pen::kernels::device {
namespace {

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

// What the machine has free, less where the control group or the process may have less. Unknown is unlimited.
std::uint64_t host_free_memory() {
  std::uint64_t least = unlimited;
  std::ifstream info("/proc/meminfo");
  std::string name, unit;
  for (std::uint64_t kib = 0; info >> name >> kib; std::getline(info, unit))
    if (name == "MemAvailable:") least = std::min(least, kib << 10);
  std::uint64_t most = 0, used = 0;
  if (std::ifstream limit("/sys/fs/cgroup/memory.max"), now("/sys/fs/cgroup/memory.current");
      limit >> most && now >> used)
    least = std::min(least, most - std::min(most, used));
  rlimit space{};
  std::uint64_t pages = 0;
  if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
    if (std::ifstream own("/proc/self/statm"); own >> pages)
      least = std::min(least, space.rlim_cur - std::min<std::uint64_t>(space.rlim_cur, pages * 4096));
  return least;
}

}  // namespace

void on_shortage(ShortageHandler handler) { shortage_handler = handler; }

bool has_bf16(Device device) { return device.is_cuda() || __builtin_cpu_supports("avx512bf16"); }

int cuda_count() { return cuda::device_count(); }
std::string cuda_description(int index) { return cuda::device_description(index); }

void* allocate(Device device, std::size_t bytes) {
  if (device.is_cuda()) return cuda::device_allocate(device.index, bytes);
  return allocate_pages(bytes);
}

std::uint64_t free_memory(Device device) {
  return device.is_cuda() ? cuda::device_free_memory(device.index) : host_free_memory();
}

void release(Device device, void* memory) noexcept {
  if (device.is_cuda()) return cuda::device_release(device.index, memory);
  std::free(memory);
}

void discard(void* memory, std::size_t bytes) noexcept {
  static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(memory) + page - 1) / page * page;
  const auto end = (reinterpret_cast<std::uintptr_t>(memory) + bytes) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void trim() noexcept { malloc_trim(0); }

void copy(Device to, void* destination, Device from, const void* source, std::size_t bytes, void* stream) {
  if (to.is_cuda() || from.is_cuda()) return cuda::device_copy(to, destination, from, source, bytes, stream);
  if (bytes) std::memcpy(destination, source, bytes);
}

void read_later(Device device, void* pinned, const void* source, std::size_t bytes, void* stream) {
  if (device.is_cuda()) return cuda::device_read_later(device.index, pinned, source, bytes, stream);
  if (bytes) std::memcpy(pinned, source, bytes);
}

void zero(Device device, void* memory, std::size_t bytes, void* stream) {
  if (device.is_cuda()) return cuda::device_zero(device.index, memory, bytes, stream);
  if (bytes) std::memset(memory, 0, bytes);
}

void synchronize(Device device) {
  if (device.is_cuda()) cuda::device_synchronize(device.index);
}

void* stream(Device device) { return device.is_cuda() ? cuda::device_stream(device.index) : nullptr; }

void* copy_stream(Device device) { return device.is_cuda() ? cuda::device_copy_stream(device.index) : nullptr; }

void* allocate_pinned(Device device, std::size_t bytes) {
  return device.is_cuda() ? cuda::pinned_allocate(device.index, bytes) : allocate(Device{}, bytes);
}

void release_pinned(Device device, void* memory) noexcept {
  if (device.is_cuda()) return cuda::pinned_release(memory);
  release(Device{}, memory);
}

Mark::Mark(Device device) : device_(device), event_(device.is_cuda() ? cuda::event_create(device.index) : nullptr) {}
Mark::~Mark() {
  if (event_) cuda::event_destroy(event_);
}
void Mark::record(void* stream) {
  if (event_) cuda::event_record(device_.index, event_, stream);
}
void Mark::hold(void* stream) const {
  if (event_) cuda::event_hold(device_.index, event_, stream);
}
void Mark::wait() const {
  if (event_) cuda::event_wait(event_);
}

Recording::Recording(Device device) : device_(device), open_(device.is_cuda()) {
  if (open_) cuda::recording_begin(device.index);
}
Recording::~Recording() {
  try {
    finish();
  } catch (const std::exception& e) {  // on the way out of another error
    log::warn(e.what());
  }
}
void Recording::finish() {
  if (std::exchange(open_, false)) cuda::recording_end(device_.index);
}
RecordingCounts recording_counts(Device device) {
  return device.is_cuda() ? cuda::recording_counts(device.index) : RecordingCounts{};
}

}  // namespace pen::kernels::device
