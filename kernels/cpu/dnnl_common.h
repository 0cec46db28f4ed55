// What the oneDNN twins share: engine, stream, a bounded cache of primitives, scratch memory. Written for oneDNN 2.x
// (Debian 12); the other files of this folder that include dnnl.hpp are the only ones that a 3.x port would touch.
#pragma once

#include <array>
#include <cstdint>
#include <dnnl.hpp>
#include <functional>
#include <memory>
#include <unordered_map>

#include "kernels/types.h"

namespace pen::kernels::cpu {

const dnnl::engine& dnnl_engine();
dnnl::stream& dnnl_stream();  // one per calling thread

// What tells two primitives apart: an operation number and all dimensions.
using PrimitiveKey = std::array<std::int64_t, 20>;

struct PrimitiveKeyHash {
  std::size_t operator()(const PrimitiveKey& key) const {
    std::uint64_t h = 0xcbf29ce484222325ull;
    for (const std::int64_t v : key) h = (h ^ static_cast<std::uint64_t>(v)) * 0x100000001b3ull;
    return h;
  }
};

// A cache per thread of at most `capacity` entries; when it is full it starts anew (a run needs some hundred shapes).
template <class Value, std::size_t capacity = 1024>
class PrimitiveCache {
 public:
  template <class Make>
  Value& get(const PrimitiveKey& key, Make make) {
    const auto it = entries_.find(key);
    if (it != entries_.end()) return *it->second;
    if (entries_.size() >= capacity) entries_.clear();
    return *entries_.emplace(key, std::make_unique<Value>(make())).first->second;
  }

 private:
  std::unordered_map<PrimitiveKey, std::unique_ptr<Value>, PrimitiveKeyHash> entries_;
};

// Working memory of the calling thread, kept between calls; slot tells simultaneous uses apart.
void* scratch(std::size_t bytes, int slot);

// A description of memory that the caller owns.
inline dnnl::memory wrap(const dnnl::memory::desc& description, const void* data) {
  return {description, dnnl_engine(), const_cast<void*>(data)};
}

// Runs `call`, turning oneDNN's exception into ours with the kernel's name.
void guarded(const char* kernel, const std::function<void()>& call);

}  // namespace pen::kernels::cpu
