// Work on one batch beside the networks' work on the next: metrics need cores, not the device.
#pragma once

#include <functional>
#include <future>

#include "kernels/types.h"

namespace pen::eval {

// Who computes the metrics of a batch. On a GPU's host cores are idle while the networks run; on a CPU the networks
// use all of them, so that a thread more only takes turns with theirs (docs/evaluation.md has what was measured).
enum class MetricsRun : std::uint8_t {
  by_device,  // beside, if the networks run on a GPU
  in_turn,    // the thread that runs the networks, between them
  beside,     // a thread of its own
};

// One piece of work under way. It is started when the one before is done, so that what is held stays bounded, and in
// the same order whoever does it: results do not depend on MetricsRun.
class Beside {
 public:
  Beside(MetricsRun run, Device device);
  // Waits for what was started before and throws what it threw. In turn, the work is done by the next start() or
  // wait().
  void start(std::function<void()> work);
  // Until nothing is under way; throws what it threw.
  void wait();
  // The same for whoever no longer wants the results: what was thrown is lost, work that has not begun is not done.
  void forget();
  // Destroyed, it waits for a thread's work and forgets work that has not begun.

 private:
  std::launch policy_;
  std::future<void> under_way_;
};

}  // namespace pen::eval
