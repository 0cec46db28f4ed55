#include "eval/beside.h"

#include <utility>

#include "base/parallel.h"

namespace pen::eval {

Beside::Beside(MetricsRun run, Device device)
    : policy_(run == MetricsRun::beside || (run == MetricsRun::by_device && device.is_cuda()) ? std::launch::async
                                                                                              : std::launch::deferred) {
}

void Beside::start(std::function<void()> work) {
  wait();
  under_way_ = std::async(policy_, [work = std::move(work), count = threads()] {
    set_threads(count);  // a new thread knows nothing of --threads
    work();
  });
}

void Beside::wait() {
  if (under_way_.valid()) under_way_.get();
}

void Beside::forget() {
  if (under_way_.valid() && policy_ == std::launch::async) under_way_.wait();
  under_way_ = {};
}

}  // namespace pen::eval
