// How much memory a step takes as its batch grows, found by running real steps; and what that says about the largest
// batch.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tensor/memory.h"
#include "train/step.h"

namespace pen {

// What there is before the networks are built.
struct MemoryAtStart {
  std::uint64_t live = 0, tensors = 0, machine = 0;  // bytes: held by tensors, that they may get, that are free
};
MemoryAtStart memory_at_start(Device device);

// Bytes of tensors at a step's peak, as a line over the batch size. (Where the CPU has so many threads that the few
// images it is measured with go through a frozen network all together, larger batches, which do not, need less.)
struct StepMemory {
  std::uint64_t fixed = 0;      // weights, their gradients, the optimizers' moments
  std::uint64_t per_image = 0;  // at a batch that is a power of two; the allocator may round others up by a quarter
  std::uint64_t least = 0;      // of the first step, which also prepares the networks
  std::uint64_t host = 0;       // an image outside of tensors (what the loader holds)
  bool shared = true;           // tensors lie in the machine's memory, as `host` does
  MemoryAtStart start;

  std::uint64_t of(std::int64_t batch) const;
  // A batch that fits for certain where `per_image` holds; 0: not even one image.
  std::int64_t largest_batch() const;
};

// Runs `step` on noise of side `size`: twice with 2 images, which also builds plans and moments, and once with 4.
// `step` changes its networks, so they should be of no further use. Memory that does not suffice even for that: none.
std::optional<StepMemory> measure_step_memory(std::int64_t size, Device device, const MemoryAtStart& start,
                                              std::uint64_t host,
                                              const std::function<void(const StepBatch&, std::int64_t step)>& step);

// The run's line before its first step; a warning where `batch` will not fit.
void announce_memory(const StepMemory& memory, std::int64_t batch);

// What ran out of memory, with the largest batch that would fit (as far as it is known) and the checkpoint that is
// left; last_checkpoint may not exist.
[[noreturn]] void fail_out_of_memory(const OutOfMemory& error, const std::optional<StepMemory>& memory,
                                     std::int64_t batch, const std::string& last_checkpoint);

// One batch of noise with labels 0.
StepBatch noise_batch(std::int64_t n, std::int64_t size, Device device, Rng& noise);

}  // namespace pen
