// A device's memory as tensors see it. Memory comes from the system in segments; a segment is cut into blocks as they
// are asked for, and neighbours that are free again become one, so that what one tensor leaves serves tensors of other
// sizes. The smallest free block that is large enough is taken.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <unordered_map>

#include "kernels/types.h"

namespace pen {

// Bytes on one device. live: in use by tensors; peak: the largest `live` since reset_peak; cached: kept for reuse;
// system_allocations: how often the system was asked (a steady step asks never).
struct MemoryStats {
  std::uint64_t live = 0, peak = 0, cached = 0, system_allocations = 0;
};

class MemoryPool {
 public:
  // Where segments come from. allocate may answer null: there is no more. discard, if there is one, gives the pages of
  // an unused part of a segment back, whose contents then do not matter; the addresses stay.
  struct System {
    std::function<void*(std::size_t bytes)> allocate;
    std::function<void(void* memory, std::size_t bytes)> release;
    std::function<void(void* memory, std::size_t bytes)> discard;
  };
  explicit MemoryPool(System system);
  ~MemoryPool();  // segments without a block in use go back to the system
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // Null where neither the limit nor the system allows it, even after release. Addresses are multiples of `unit` from
  // the start of a segment.
  void* take(std::size_t bytes);
  void give(void* block) noexcept;
  void release();  // what no block uses goes back to the system

  const MemoryStats& stats() const { return stats_; }
  void reset_peak() { stats_.peak = stats_.live; }
  void set_limit(std::uint64_t bytes) { limit_ = bytes; }  // of live + cached; 0: none
  std::uint64_t limit() const { return limit_; }

  static constexpr std::size_t unit = 512;  // sizes are multiples of it

 private:
  struct Block;
  struct ByFit {
    bool operator()(const Block* a, const Block* b) const;
  };
  using FreeBlocks = std::set<Block*, ByFit>;

  FreeBlocks& free_of(std::size_t size) { return size <= small ? free_small_ : free_large_; }
  FreeBlocks& home_of(const Block& block);
  bool fits(std::size_t size) const { return limit_ == 0 || stats_.live + stats_.cached + size <= limit_; }
  Block* from_free(std::size_t size);
  Block* from_system(std::size_t size);
  Block* segment(std::size_t bytes, bool for_small);
  void cut(Block& block, std::size_t size);
  void count_free(const Block& block, bool added);

  // Small blocks have segments of their own: they would leave large ones in pieces.
  static constexpr std::size_t small = std::size_t{1} << 20, small_segment = std::size_t{2} << 20;
  static constexpr std::size_t middle = std::size_t{10} << 20, middle_segment = std::size_t{20} << 20;

  System system_;
  MemoryStats stats_;
  std::uint64_t limit_ = 0;
  FreeBlocks free_small_, free_large_;
  std::unordered_map<void*, std::unique_ptr<Block>> blocks_;
};

}  // namespace pen
