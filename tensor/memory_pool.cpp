#include "tensor/memory_pool.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <utility>
#include <vector>

namespace pen {

struct MemoryPool::Block {
  std::uint8_t* data;
  std::size_t size;
  bool small;  // of a segment for small blocks
  bool used = false;
  bool present = true;                        // a free block without pages holds no memory
  Block *before = nullptr, *after = nullptr;  // its neighbours in the segment
};

bool MemoryPool::ByFit::operator()(const Block* a, const Block* b) const {
  return std::pair(a->size, a->data) < std::pair(b->size, b->data);
}

namespace {

std::size_t rounded(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

MemoryPool::MemoryPool(System system) : system_(std::move(system)) {}
MemoryPool::~MemoryPool() { release(); }

MemoryPool::FreeBlocks& MemoryPool::home_of(const Block& block) { return block.small ? free_small_ : free_large_; }

void MemoryPool::count_free(const Block& block, bool added) {
  if (!block.present) return;
  if (added)
    stats_.cached += block.size;
  else
    stats_.cached -= block.size;
}

void* MemoryPool::take(std::size_t bytes) {
  const std::size_t size = rounded(std::max<std::size_t>(bytes, 1), unit);
  Block* block = from_free(size);
  if (!block) block = from_system(size);
  if (!block) {  // what is kept for reuse goes; that also joins neighbours which were apart
    release();
    block = from_free(size);
    if (!block) block = from_system(size);
    if (!block) return nullptr;
  }
  cut(*block, size);
  block->used = block->present = true;
  stats_.live += block->size;
  stats_.peak = std::max(stats_.peak, stats_.live);
  return block->data;
}

// The smallest free block that is large enough, out of its list, or null. One whose pages were given back costs as much
// memory as a new segment would, and may be left whole.
MemoryPool::Block* MemoryPool::from_free(std::size_t size) {
  FreeBlocks& free = free_of(size);
  Block wanted{nullptr, size, size <= small};
  for (auto at = free.lower_bound(&wanted); at != free.end(); ++at) {
    Block* const block = *at;
    if (!block->present && !fits(std::min(block->size, size + small))) continue;
    free.erase(at);
    count_free(*block, false);
    return block;
  }
  return nullptr;
}

// Leaves `size` bytes in the block; the rest, if it is worth it, becomes a free block of its own.
void MemoryPool::cut(Block& block, std::size_t size) {
  const std::size_t rest = block.size - size;
  if (rest < (block.small ? unit : small)) return;
  std::uint8_t* const begin = block.data + size;
  auto& other = blocks_.emplace(begin, std::make_unique<Block>(Block{begin, rest, block.small})).first->second;
  other->present = block.present;
  other->before = &block;
  other->after = block.after;
  if (block.after) block.after->before = other.get();
  block.after = other.get();
  block.size = size;
  home_of(block).insert(other.get());
  count_free(*other, true);
}

MemoryPool::Block* MemoryPool::segment(std::size_t bytes, bool for_small) {
  void* data = system_.allocate(bytes);
  if (!data) return nullptr;
  ++stats_.system_allocations;
  auto block = std::make_unique<Block>(Block{static_cast<std::uint8_t*>(data), bytes, for_small});
  return blocks_.emplace(data, std::move(block)).first->second.get();
}

// A new segment of at least `size` bytes, or null: one with room for others; if that is refused, of this size alone.
MemoryPool::Block* MemoryPool::from_system(std::size_t size) {
  const bool is_small = size <= small;
  const std::size_t roomy = is_small ? small_segment : size < middle ? middle_segment : rounded(size, small_segment);
  for (const std::size_t bytes : {roomy, size})
    if (fits(bytes))
      if (Block* block = segment(bytes, is_small)) return block;
  return nullptr;
}

void MemoryPool::give(void* data) noexcept {
  const auto at = blocks_.find(data);
  if (at == blocks_.end() || !at->second->used) std::terminate();  // not a block in use: memory is no longer sound
  Block* block = at->second.get();
  block->used = false;
  stats_.live -= block->size;
  count_free(*block, true);
  // One with its free neighbours. A neighbour without pages stays apart: it would hide that some are missing.
  const auto join = [this](Block* first, Block* second) {
    home_of(*first).erase(first);
    home_of(*second).erase(second);
    first->size += second->size;
    first->after = second->after;
    if (second->after) second->after->before = first;
    blocks_.erase(second->data);
    return first;
  };
  const auto joins = [&](const Block* other) { return other && !other->used && other->present; };
  if (joins(block->before)) block = join(block->before, block);
  if (joins(block->after)) block = join(block, block->after);
  try {
    home_of(*block).insert(block);
  } catch (...) {
    count_free(*block, false);
    block->used = true;  // not even a list's entry could be had: the block is never used again
  }
}

void MemoryPool::release() {
  // Free blocks side by side are one, whatever they have pages for: the first of each row takes the others along.
  std::vector<Block*> first;
  for (const FreeBlocks* blocks : {&free_small_, &free_large_})
    for (Block* block : *blocks)
      if (!block->before || block->before->used) first.push_back(block);
  for (Block* block : first) {
    while (block->after && !block->after->used) {
      Block* next = block->after;
      count_free(*next, false);
      count_free(*block, false);
      home_of(*block).erase(block);
      home_of(*next).erase(next);
      block->present = block->present || next->present;
      block->size += next->size;
      block->after = next->after;
      if (next->after) next->after->before = block;
      blocks_.erase(next->data);
      home_of(*block).insert(block);
      count_free(*block, true);
    }
  }
  for (Block* block : first) {
    if (!block->before && !block->after) {
      count_free(*block, false);
      home_of(*block).erase(block);
      system_.release(block->data, block->size);
      blocks_.erase(block->data);
    } else if (block->present && system_.discard) {
      count_free(*block, false);
      block->present = false;
      system_.discard(block->data, block->size);
    }
  }
}

}  // namespace pen
