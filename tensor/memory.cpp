#include "tensor/memory.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#include "kernels/kernels.h"

namespace pen {
namespace {

// Blocks are cut to sizes of the form (4..7) * 2^k, so that a freed block fits the next tensor of nearly its size and
// at most a fifth is wasted.
std::size_t block_size(std::size_t bytes) {
  if (bytes <= 256) return 256;
  const int shift = std::bit_width(bytes - 1) - 3;
  const std::size_t unit = std::size_t{1} << shift;
  return (bytes + unit - 1) / unit * unit;
}

class Pool {
 public:
  explicit Pool(Device device) : device_(device) {}

  void* take(std::size_t bytes) {
    const std::size_t size = block_size(bytes);
    std::lock_guard lock(mutex_);
    void* block = nullptr;
    if (auto& list = free_[size]; !list.empty()) {
      block = list.back();
      list.pop_back();
      stats_.cached -= size;
    } else {
      block = from_system(size, bytes);
      ++stats_.system_allocations;
    }
    stats_.live += size;
    stats_.peak = std::max(stats_.peak, stats_.live);
    return block;
  }

  void give(void* block, std::size_t bytes) noexcept {
    const std::size_t size = block_size(bytes);
    std::lock_guard lock(mutex_);
    stats_.live -= size;
    try {
      free_[size].push_back(block);
      stats_.cached += size;
    } catch (...) {
      kernels::device::release(device_, block);
    }
  }

  void release() {
    std::lock_guard lock(mutex_);
    release_locked();
  }

  MemoryStats stats() {
    std::lock_guard lock(mutex_);
    return stats_;
  }

  void set_limit(std::uint64_t bytes) {
    std::lock_guard lock(mutex_);
    limit_ = bytes;
  }

  std::uint64_t available() {
    std::lock_guard lock(mutex_);
    const std::uint64_t system = kernels::device::free_memory(device_);
    const std::uint64_t free = system + std::min(stats_.cached, std::numeric_limits<std::uint64_t>::max() - system);
    return limit_ == 0 ? free : std::min(free, limit_ - std::min(limit_, stats_.live));
  }

  void reset_peak() {
    std::lock_guard lock(mutex_);
    stats_.peak = stats_.live;
  }

 private:
  void* from_system(std::size_t size, std::size_t asked) {
    const auto fits = [&] { return limit_ == 0 || stats_.live + stats_.cached + size <= limit_; };
    void* block = fits() ? kernels::device::allocate(device_, size) : nullptr;
    if (block) return block;
    release_locked();  // blocks of other sizes may hold what is missing
    if (fits()) block = kernels::device::allocate(device_, size);
    if (!block) throw OutOfMemory(device_, asked, stats_.live, limit_, kernels::device::free_memory(device_));
    return block;
  }

  void release_locked() {
    for (auto& [size, list] : free_)
      for (void* block : list) kernels::device::release(device_, block);
    free_.clear();
    stats_.cached = 0;
  }

  Device device_;
  std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;
  MemoryStats stats_;
  std::uint64_t limit_ = 0;
};

// Pools live as long as the process: tensors in static objects may outlive any other order of destruction.
Pool& pool(Device device) {
  static std::mutex mutex;
  static auto& pools = *new std::map<std::pair<Device::Kind, int>, std::unique_ptr<Pool>>;
  std::lock_guard lock(mutex);
  auto& entry = pools[{device.kind, device.index}];
  if (!entry) entry = std::make_unique<Pool>(device);
  return *entry;
}

std::atomic<std::uint64_t> next_id{1};

}  // namespace

MemoryStats memory_stats(Device device) { return pool(device).stats(); }
void reset_peak_memory(Device device) { pool(device).reset_peak(); }
void release_cached_memory(Device device) { pool(device).release(); }
void set_memory_limit(Device device, std::uint64_t bytes) { pool(device).set_limit(bytes); }
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
                         std::uint64_t free)
    : Error(device.is_cuda() ? ErrorKind::device : ErrorKind::run,
            str("out of memory on ", name_of(device), ": a tensor asked for ", bytes_in_words(asked), ", tensors hold ",
                bytes_in_words(live), limit ? " of the " + bytes_in_words(limit) + " that --memory_limit allows" : "",
                ", ", bytes_in_words(free), " are free", device.is_cuda() ? " on the GPU" : ""),
            "a smaller --batch_size or --input_size needs less"),
      asked_(asked),
      live_(live) {}

OutOfMemory::OutOfMemory(const OutOfMemory& error, const std::string& more, const std::string& hint)
    : Error(error.kind(), error.what() + more, hint), asked_(error.asked_), live_(error.live_) {}

Storage::Storage(Device device, std::size_t bytes)
    : device_(device), data_(pool(device).take(bytes)), bytes_(bytes), id_(next_id++) {}

Storage::~Storage() { pool(device_).give(data_, bytes_); }

}  // namespace pen
