#include "train/plan.h"

#include <fmt/format.h>

#include <chrono>

#include "base/log.h"
#include "train/step_memory.h"

namespace pen {

void log_plan(const PlanInput& in, const std::function<void(const StepBatch&, std::int64_t, Rng&)>& step) {
  Rng noise(in.seed, 0x706c616eu);
  const StepBatch batch = noise_batch(in.batch_size, in.size, in.device, noise);
  reset_peak_memory(in.device);
  double seconds = 0;
  for (std::int64_t i = 0; i < 2; ++i) {  // the first one also builds plans
    const auto begin = std::chrono::steady_clock::now();
    step(batch, i, noise);
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  const double peak = static_cast<double>(memory_stats(in.device).peak);
  log::info(fmt::format("a step of {} images: {:.0f} ms, {:.2f} GiB of tensors at its peak, {:.1f} MiB an image",
                        in.batch_size, 1e3 * seconds, peak / (1 << 30),
                        peak / (1 << 20) / static_cast<double>(in.batch_size)));
  log::info(fmt::format("{} steps in all: about {:.2f} hours; nothing was written (--dry_run)", in.total_steps,
                        seconds * static_cast<double>(in.total_steps) / 3600));
}

}  // namespace pen
