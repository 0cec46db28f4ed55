#include "train/step_memory.h"

#include <algorithm>
#include <bit>
#include <exception>
#include <filesystem>
#include <thread>

#include "base/log.h"
#include "base/parallel.h"
#include "kernels/kernels.h"

namespace pen {

MemoryAtStart memory_at_start(Device device) {
  return {memory_stats(device).live, available_memory(device), kernels::device::free_memory(Device{})};
}

std::uint64_t StepMemory::of(std::int64_t batch) const {
  return std::max(least, fixed + static_cast<std::uint64_t>(batch) * per_image);
}

std::int64_t StepMemory::largest_batch() const {
  const auto within = [&](std::uint64_t available, std::uint64_t image) {
    if (available < std::max(fixed, least) || image == 0) return std::uint64_t{0};
    return (available - fixed) / image;
  };
  std::uint64_t by_line = within(start.tensors, per_image);
  if (shared) by_line = std::min(by_line, within(start.machine, per_image + host));
  if (by_line == 0) return 0;
  // Powers of two fall into the pool's segments as the measured ones do. Other batches may need up to a quarter more.
  return static_cast<std::int64_t>(std::max(std::bit_floor(by_line), by_line * 4 / 5));
}

StepBatch noise_batch(std::int64_t n, std::int64_t size, Device device, Rng& noise) {
  std::vector<float> pixels(static_cast<std::size_t>(n * size * size * 3));
  for (float& v : pixels) v = static_cast<float>(noise.uniform(-2, 2));
  return {Tensor::from(pixels, {n, size, size, 3}, device), std::vector<std::int64_t>(static_cast<std::size_t>(n), 0)};
}

std::optional<StepMemory> measure_step_memory(std::int64_t size, Device device, const MemoryAtStart& start,
                                              std::uint64_t host,
                                              const std::function<void(const StepBatch&, std::int64_t)>& step) {
  Rng noise(0, 0x706c616eu);
  const auto peak_of = [&](std::int64_t n, std::int64_t number) {
    reset_peak_memory(device);
    step(noise_batch(n, size, device, noise), number);
    const std::uint64_t peak = memory_stats(device).peak;
    return peak - std::min(peak, start.live);
  };
  const auto measure = [&] {
    StepMemory out;
    out.least = peak_of(2, 0);
    const std::uint64_t two = peak_of(2, 1), four = peak_of(4, 2);
    out.per_image = (four - std::min(four, two)) / 2;
    out.fixed = two - std::min(two, 2 * out.per_image);
    out.host = host;
    out.shared = !device.is_cuda();
    out.start = start;
    return out;
  };
  // Kernels keep plans, packed weights and working memory for each thread: with a thread of its own, nothing of the
  // rehearsal stays behind.
  std::optional<StepMemory> found;
  std::exception_ptr failure;
  std::thread rehearsal([&, count = threads()] {
    set_threads(count);
    try {
      found = measure();
    } catch (const OutOfMemory&) {
    } catch (...) {
      failure = std::current_exception();
    }
  });
  rehearsal.join();
  if (failure) std::rethrow_exception(failure);
  return found;
}

void announce_memory(const StepMemory& memory, std::int64_t batch) {
  const std::int64_t largest = memory.largest_batch();
  const std::string words = str(bytes_in_words(memory.fixed), " and ", bytes_in_words(memory.per_image), " an image, ",
                                bytes_in_words(memory.of(batch)), " for a batch of ", batch);
  if (batch <= largest)
    log::info(str("memory: ", words, "; a batch of ", largest, " would fit into the ",
                  bytes_in_words(memory.start.tensors), " there are"));
  else
    log::warn(str("memory: ", words, ", and ", bytes_in_words(memory.start.tensors),
                  " there are: the largest batch that fits for certain is ", largest));
}

void fail_out_of_memory(const OutOfMemory& error, const std::optional<StepMemory>& memory, std::int64_t batch,
                        const std::string& last_checkpoint) {
  std::string more;
  const std::int64_t largest = memory ? memory->largest_batch() : 0;
  if (!memory)
    more = str("; this was a batch of ", batch, ", and a step of 4 images did not fit either");
  else if (largest < batch)
    more = str("; a step takes ", bytes_in_words(memory->fixed), " and ", bytes_in_words(memory->per_image),
               " an image: the largest batch that fits is ", largest);
  else
    more = str("; a batch of ", batch, " was expected to fit: something else took memory since the run began");
  std::error_code ignored;
  if (!last_checkpoint.empty() && std::filesystem::exists(last_checkpoint, ignored))
    more += str("; the last checkpoint, ", last_checkpoint, ", is complete");
  throw OutOfMemory(error, more,
                    memory && largest >= 1 && largest < batch
                        ? str("--batch_size ", largest, " fits; a smaller --input_size needs less, too")
                        : error.hint());
}

}  // namespace pen
