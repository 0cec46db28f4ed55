// Device memory: a caching, counted allocator, and the storage that tensors share.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/types.h"
#include "tensor/memory_pool.h"

namespace pen {

MemoryStats memory_stats(Device device);
void reset_peak_memory(Device device);
void release_cached_memory(Device device);  // gives what no tensor uses back to the system; CPU: what malloc keeps, too

// The most that tensors of a device may hold together, what is kept for reuse included; 0: as much as there is.
void set_memory_limit(Device device, std::uint64_t bytes);
// What tensors could still get: free memory within the limit, and what is kept for reuse.
std::uint64_t available_memory(Device device);
std::string bytes_in_words(std::uint64_t bytes);  // "1.50 GiB", "12.3 MiB", "640 bytes"

// Memory that a tensor asked for and did not get, although everything kept for reuse had been given back. Kind run on
// the CPU, device on a GPU; the text says how much was asked for, how much tensors hold and how much was free.
class OutOfMemory : public Error {
 public:
  // who: what asked. asked 0: nobody knows how much.
  OutOfMemory(Device device, std::uint64_t asked, std::uint64_t live, std::uint64_t limit, std::uint64_t free,
              const char* who = "a tensor");
  // The same with more to say, and what to do about it.
  OutOfMemory(const OutOfMemory& error, const std::string& more, const std::string& hint);
  std::uint64_t asked() const noexcept { return asked_; }
  std::uint64_t live() const noexcept { return live_; }

 private:
  std::uint64_t asked_, live_;
};

// A block of device memory with an identity. `version` counts modifications, so that autograd notices one between
// saving a tensor and reading it.
class Storage {
 public:
  Storage(Device device, std::size_t bytes);
  // A window on part of `whole`, which it keeps alive; writing through either is a modification of both.
  Storage(std::shared_ptr<Storage> whole, std::size_t offset, std::size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Device device() const { return device_; }
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  std::uint64_t id() const { return id_; }  // unique in the process, never reused
  bool is_window() const { return whole_ != nullptr; }
  std::uint64_t version() const { return whole_ ? whole_->version() : version_.load(); }
  void bump_version() { whole_ ? whole_->bump_version() : static_cast<void>(++version_); }

 private:
  Device device_;
  void* data_;
  std::size_t bytes_;
  std::uint64_t id_;
  std::atomic<std::uint64_t> version_ = 0;
  std::shared_ptr<Storage> whole_;
};

}  // namespace pen
