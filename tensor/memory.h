// Device memory: a caching, counted allocator, and the storage that tensors share.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "kernels/types.h"

namespace pen {

// Bytes on one device. live: in use by tensors; peak: the largest `live` since reset_peak; cached: kept for reuse;
// system_allocations: how often the system was asked (a steady step asks never).
struct MemoryStats {
  std::uint64_t live = 0, peak = 0, cached = 0, system_allocations = 0;
};
MemoryStats memory_stats(Device device);
void reset_peak_memory(Device device);
void release_cached_memory(Device device);  // gives what no tensor uses back to the system

// A block of device memory with an identity. `version` counts modifications, so that autograd notices one between
// saving a tensor and reading it.
class Storage {
 public:
  Storage(Device device, std::size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Device device() const { return device_; }
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  std::uint64_t id() const { return id_; }  // unique in the process, never reused
  std::uint64_t version() const { return version_; }
  void bump_version() { ++version_; }

 private:
  Device device_;
  void* data_;
  std::size_t bytes_;
  std::uint64_t id_;
  std::atomic<std::uint64_t> version_ = 0;
};

}  // namespace pen
