// How long each step of a run took, where steps overlap.
#pragma once

#include <algorithm>
#include <chrono>

namespace pen {

// A step lasts as long as its batch was waited for, and from when the figures of the step before it were there until
// its own are; less the time that batches behind its own were waited for meanwhile, which is theirs. So the steps of a
// run add up to its time, but for what lies between them (checkpoints, validation).
class StepClock {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // A batch was asked for at `begin` and there at `end`.
  struct Load {
    Time begin, end;
    double seconds() const { return std::chrono::duration<double>(end - begin).count(); }
  };
  void loaded(const Load& load) { loading_ += load.seconds(); }
  // What came since the last step's figures (a checkpoint) is no step's time, though the next step's batch be there.
  void resumed(Time now) { last_ = now; }
  // Seconds of the step with this batch, whose figures are there now. Steps end in the order in which they were loaded.
  double ended(const Load& own, Time now) {
    const double since = std::chrono::duration<double>(now - std::max(own.begin, last_)).count();
    const double seconds = since - loading_ + own.seconds();
    last_ = now;
    loading_ = 0;
    return seconds;
  }

 private:
  Time last_{};         // when the last step's figures were there, and what came behind them was over
  double loading_ = 0;  // seconds that batches were waited for since
};

}  // namespace pen
