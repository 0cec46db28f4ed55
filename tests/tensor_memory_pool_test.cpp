// The pool of memory blocks on a system of our own that counts, refuses and looks for overlaps.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include "base/rng.h"
#include "tensor/memory_pool.h"

namespace pen {
namespace {

constexpr std::size_t kib = 1024, mib = 1024 * kib;

// Memory that can run out; everything must come back.
struct Machine {
  std::size_t most = std::size_t{1} << 30, held = 0, discarded = 0;
  std::map<void*, std::size_t> segments;
  MemoryPool::System system(bool discards = true) {
    MemoryPool::System s;
    s.allocate = [this](std::size_t bytes) -> void* {
      if (held + bytes > most) return nullptr;
      void* memory = std::malloc(bytes);
      segments[memory] = bytes;
      held += bytes;
      return memory;
    };
    s.release = [this](void* memory, std::size_t bytes) {
      REQUIRE(segments.count(memory) == 1);
      CHECK(segments[memory] == bytes);
      held -= bytes;
      segments.erase(memory);
      std::free(memory);
    };
    if (discards) s.discard = [this](void*, std::size_t bytes) { discarded += bytes; };
    return s;
  }
};

}  // namespace

TEST_CASE("pool: what one block leaves serves blocks of other sizes") {
  Machine machine;
  {
    MemoryPool pool(machine.system());
    void* large = pool.take(48 * mib);
    CHECK(machine.held == 48 * mib);
    pool.give(large);
    CHECK(pool.stats().cached == 48 * mib);
    void* parts[] = {pool.take(20 * mib), pool.take(20 * mib), pool.take(8 * mib)};
    CHECK(pool.stats().system_allocations == 1);
    CHECK(pool.stats().live == 48 * mib);
    CHECK(pool.stats().cached == 0);
    pool.give(parts[0]);
    pool.give(parts[2]);
    pool.give(parts[1]);  // between two free ones: all three are one again
    CHECK(pool.take(48 * mib) == large);
    CHECK(pool.stats().system_allocations == 1);
    CHECK(pool.stats().peak == 48 * mib);
    pool.give(large);
    // The smallest that is large enough is taken.
    void* small = pool.take(12 * mib);
    void* other = pool.take(30 * mib);
    void* rest = pool.take(6 * mib);
    pool.give(other);
    pool.give(rest);
    void* wall = pool.take(36 * mib);
    pool.give(small);
    CHECK(pool.take(11 * mib) == small);
    pool.give(wall);
    pool.give(small);
  }
  CHECK(machine.held == 0);
}

TEST_CASE("pool: small blocks have segments of their own, and none is empty") {
  Machine machine;
  MemoryPool pool(machine.system());
  void* nothing = pool.take(0);
  REQUIRE(nothing);
  void* a = pool.take(700);
  CHECK(pool.stats().live == 512 + 1024);
  CHECK(pool.stats().system_allocations == 1);
  void* b = pool.take(2 * mib);
  CHECK(pool.stats().system_allocations == 2);
  for (void* block : {nothing, a, b}) pool.give(block);
  pool.release();
  CHECK(pool.stats().cached == 0);
  CHECK(machine.held == 0);
}

TEST_CASE("pool: the limit and the machine refuse, what is unused is given back first, and nothing is lost") {
  Machine machine;
  MemoryPool pool(machine.system());
  pool.set_limit(4 * mib);
  pool.give(pool.take(3 * mib));
  void* all = pool.take(4 * mib);  // the 3 MiB kept for reuse went
  REQUIRE(all);
  CHECK(pool.stats().cached == 0);
  CHECK(pool.take(1) == nullptr);
  CHECK(pool.stats().live == 4 * mib);
  pool.give(all);
  pool.release();
  pool.set_limit(0);
  machine.most = 30 * mib;
  void* one = pool.take(24 * mib);
  REQUIRE(one);
  CHECK(pool.take(8 * mib) == nullptr);
  void* two = pool.take(5 * mib);  // no room for a segment of 20 MiB: one of this size
  REQUIRE(two);
  pool.give(one);
  pool.give(two);
}

TEST_CASE("pool: pages of free parts of a segment go back, and count again when they are used") {
  for (const bool discards : {true, false}) {
    Machine machine;
    MemoryPool pool(machine.system(discards));
    void* first = pool.take(20 * mib);
    pool.give(first);
    first = pool.take(12 * mib);
    void* second = pool.take(8 * mib);
    pool.give(first);
    pool.release();  // the segment is in use: only pages can go
    CHECK(pool.stats().cached == (discards ? 0 : 12 * mib));
    CHECK(machine.discarded == (discards ? 12 * mib : 0));
    pool.set_limit(16 * mib);
    void* third = pool.take(10 * mib);  // pages that are still there count already
    CHECK((third == nullptr) == discards);
    pool.set_limit(0);
    if (discards) CHECK((third = pool.take(12 * mib)) == first);
    pool.give(second);
    pool.release();
    CHECK(pool.stats().cached == (discards ? 0 : 10 * mib));
    pool.give(third);
    pool.release();
    CHECK(machine.held == 0);
  }
}

TEST_CASE("pool: neighbours that were apart serve once what is unused has gone, and a smaller block is passed over") {
  Machine machine;
  MemoryPool pool(machine.system());
  void* all = pool.take(70 * mib);
  pool.give(all);
  void* first = pool.take(30 * mib);
  void* second = pool.take(30 * mib);
  void* third = pool.take(10 * mib);
  REQUIRE(first == all);
  pool.give(first);
  pool.release();  // the segment stays, the first part without pages
  pool.give(second);
  machine.most = machine.held;  // and the machine has no more
  CHECK(pool.take(50 * mib) == first);
  pool.give(first);
  pool.give(third);
  pool.release();
  machine.most = std::size_t{1} << 30;

  // Without pages and over the limit: the next larger one, which is there, is taken.
  pool.give(pool.take(60 * mib));
  void* low = pool.take(10 * mib);
  void* wall = pool.take(10 * mib);
  void* high = pool.take(40 * mib);
  pool.give(low);
  pool.release();
  pool.give(high);
  pool.set_limit(pool.stats().live + pool.stats().cached);
  CHECK(pool.take(10 * mib) == high);
  CHECK(pool.stats().live + pool.stats().cached <= pool.limit());
  pool.give(high);
  pool.give(wall);
}

// Random lives of blocks: none overlaps another, each keeps its contents, and all counts are right.
TEST_CASE("pool: ten thousand blocks") {
  Machine machine;
  Rng rng(5);
  struct Held {
    std::uint8_t* data;
    std::size_t bytes;
    std::uint8_t mark;
  };
  std::vector<Held> held;
  {
    MemoryPool pool(machine.system());
    std::size_t live = 0;
    const auto room = [](std::size_t bytes) {
      return (bytes + MemoryPool::unit - 1) / MemoryPool::unit * MemoryPool::unit;
    };
    for (int i = 0; i < 10000; ++i) {
      if (held.size() < 40 && rng.uniform() < 0.55) {
        const auto bytes = static_cast<std::size_t>(std::exp(rng.uniform(0.0, 16.5))) + 1;
        auto* data = static_cast<std::uint8_t*>(pool.take(bytes));
        REQUIRE(data);
        const auto mark = static_cast<std::uint8_t>(i);
        std::memset(data, mark, bytes);
        held.push_back({data, bytes, mark});
      } else if (!held.empty()) {
        const auto at = static_cast<std::size_t>(rng.uniform() * static_cast<double>(held.size()));
        const Held one = held[at];
        bool whole = one.data[one.bytes - 1] == one.mark;
        for (std::size_t b = 0; b < one.bytes; b += 509) whole = whole && one.data[b] == one.mark;
        REQUIRE(whole);
        pool.give(one.data);
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
      }
      if (i % 997 == 0) pool.release();
      if (i % 100 == 0) {
        live = 0;
        for (const Held& h : held) live += h.bytes <= mib ? room(h.bytes) : 0;
        CHECK(pool.stats().live >= live);
        CHECK(pool.stats().live + pool.stats().cached <= machine.held);
      }
    }
    for (const Held& h : held) pool.give(h.data);
    CHECK(pool.stats().live == 0);
    pool.release();
    CHECK(pool.stats().cached == 0);
  }
  CHECK(machine.held == 0);
}

}  // namespace pen
