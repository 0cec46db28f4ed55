#include "tensor/memory.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>
#include <mutex>

#include "kernels/kernels.h"

namespace pen {
namespace {

// A pool that several threads share.
class Pool {
 public:
  explicit Pool(Device device)
      : device_(device),
        memory_({[device](std::size_t bytes) { return kernels::device::allocate(device, bytes); },
                 [device](void* memory, std::size_t) { kernels::device::release(device, memory); },
                 device.is_cuda() ? std::function<void(void*, std::size_t)>() : kernels::device::discard}) {}

  void* take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (void* block = memory_.take(bytes)) return block;
    throw OutOfMemory(device_, bytes, memory_.stats().live, memory_.limit(), kernels::device::free_memory(device_));
  }
  void give(void* block) noexcept {
    const std::lock_guard lock(mutex_);
    memory_.give(block);
  }
  // Calls f(memory) alone.
  template <class F>
  auto with(F f) {
    const std::lock_guard lock(mutex_);
    return f(memory_);
  }

  std::uint64_t available() {
    const std::lock_guard lock(mutex_);
    const MemoryStats& stats = memory_.stats();
    const std::uint64_t system = kernels::device::free_memory(device_), limit = memory_.limit();
    const std::uint64_t free = system + std::min(stats.cached, std::numeric_limits<std::uint64_t>::max() - system);
    return limit == 0 ? free : std::min(free, limit - std::min(limit, stats.live));
  }

 private:
  Device device_;
  std::mutex mutex_;
  MemoryPool memory_;
};

void answer_shortage(Device device, std::uint64_t bytes, bool last);

// Pools live as long as the process: tensors in static objects may outlive any other order of destruction.
Pool& pool(Device device) {
  static std::mutex mutex;
  static auto& pools = *new std::map<std::pair<Device::Kind, int>, std::unique_ptr<Pool>>;
  std::lock_guard lock(mutex);
  auto& entry = pools[{device.kind, device.index}];
  if (!entry) entry = std::make_unique<Pool>(device);
  kernels::device::on_shortage(answer_shortage);
  return *entry;
}

// A kernel without memory to work in gets what tensors keep for later; where that is not enough it is out of memory as
// a tensor is.
void answer_shortage(Device device, std::uint64_t bytes, bool last) {
  if (!last) return release_cached_memory(device);
  pool(device).with([&](const MemoryPool& memory) {
    throw OutOfMemory(device, bytes, memory.stats().live, memory.limit(), kernels::device::free_memory(device),
                      bytes ? "a kernel" : "a CUDA graph");
  });
}

std::atomic<std::uint64_t> next_id{1};

}  // namespace

MemoryStats memory_stats(Device device) {
  return pool(device).with([](const MemoryPool& memory) { return memory.stats(); });
}
void reset_peak_memory(Device device) {
  pool(device).with([](MemoryPool& memory) { memory.reset_peak(); });
}
void release_cached_memory(Device device) {
  pool(device).with([](MemoryPool& memory) { memory.release(); });
  if (!device.is_cuda()) kernels::device::trim();
}
void set_memory_limit(Device device, std::uint64_t bytes) {
  pool(device).with([bytes](MemoryPool& memory) { memory.set_limit(bytes); });
}
std::uint64_t available_memory(Device device) { return pool(device).available(); }

std::string bytes_in_words(std::uint64_t bytes) {
  char text[32];
  const auto value = static_cast<double>(bytes);
  if (bytes >= std::uint64_t{1} << 30)
    std::snprintf(text, sizeof text, "%.2f GiB", value / (1 << 30));
  else if (bytes >= std::uint64_t{1} << 20)
    std::snprintf(text, sizeof text, "%.1f MiB", value / (1 << 20));
  else
    std::snprintf(text, sizeof text, "%.0f bytes", value);
  return text;
}

OutOfMemory::OutOfMemory(Device device, std::uint64_t asked, std::uint64_t live, std::uint64_t limit,
                         std::uint64_t free, const char* who)
    : Error(device.is_cuda() ? ErrorKind::device : ErrorKind::run,
            str("out of memory on ", name_of(device), ": ", who, " asked for ",
                asked ? bytes_in_words(asked) : std::string("more"), ", tensors hold ", bytes_in_words(live),
                limit ? " of the " + bytes_in_words(limit) + " that --memory_limit allows" : "", ", ",
                bytes_in_words(free), " are free", device.is_cuda() ? " on the GPU" : ""),
            "a smaller --batch_size or --input_size needs less"),
      asked_(asked),
      live_(live) {}

OutOfMemory::OutOfMemory(const OutOfMemory& error, const std::string& more, const std::string& hint)
    : Error(error.kind(), error.what() + more, hint), asked_(error.asked_), live_(error.live_) {}

Storage::Storage(Device device, std::size_t bytes)
    : device_(device), data_(pool(device).take(bytes)), bytes_(bytes), id_(next_id++) {}

Storage::Storage(std::shared_ptr<Storage> whole, std::size_t offset, std::size_t bytes)
    : device_(whole->device_),
      data_(static_cast<char*>(whole->data_) + offset),
      bytes_(bytes),
      id_(next_id++),
      whole_(std::move(whole)) {
  PEN_CHECK(offset <= whole_->bytes_ && bytes <= whole_->bytes_ - offset, "a window of ", bytes, " bytes at ", offset,
            " of a storage of ", whole_->bytes_);
}

Storage::~Storage() {
  if (!whole_) pool(device_).give(data_);
}

}  // namespace pen
