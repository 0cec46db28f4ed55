// --dry_run: what a run will take, found by running two real steps on noise. Nothing is written.
#pragma once

#include <functional>

#include "train/step.h"

namespace pen {

struct PlanInput {
  std::int64_t batch_size, size, total_steps;
  Device device;
  std::uint64_t seed;
};
// Logs time and memory of a step and the length of the run. Labels of the noise images are 0.
void log_plan(const PlanInput& input, const std::function<void(const StepBatch&, std::int64_t step, Rng&)>& step);

}  // namespace pen
