// How long steps took, on times that are made up.
#include "train/step_clock.h"

#include <doctest/doctest.h>

using namespace pen;

namespace {
StepClock::Time at(double seconds) {
  return StepClock::Time{} +
         std::chrono::duration_cast<StepClock::Time::duration>(std::chrono::duration<double>(1000 + seconds));
}
}  // namespace

TEST_CASE("StepClock: one step after the other lasts from asking for its batch to its figures") {
  StepClock clock;
  const StepClock::Load first{at(0), at(2)}, second{at(10), at(11)};
  clock.loaded(first);
  CHECK(clock.ended(first, at(7)) == doctest::Approx(7));
  // A checkpoint was written from 7 to 10.
  clock.loaded(second);
  CHECK(clock.ended(second, at(15)) == doctest::Approx(5));
}

TEST_CASE("StepClock: of steps that overlap, each holds its own batch's wait and not that of the next") {
  StepClock clock;
  const StepClock::Load a{at(0), at(1)}, b{at(2), at(12)}, c{at(14), at(15)};
  clock.loaded(a);
  clock.loaded(b);
  CHECK(clock.ended(a, at(13)) == doctest::Approx(3));  // 13 seconds, of which ten waited for b's images
  clock.loaded(c);
  CHECK(clock.ended(b, at(20)) == doctest::Approx(16));  // those ten, and 6 of the 7 since
  CHECK(clock.ended(c, at(24)) == doctest::Approx(5));
  // All together: the run's 24 seconds.
}

TEST_CASE("StepClock: a batch that was asked for before the step in front of it began, and a checkpoint in between") {
  StepClock clock;
  const StepClock::Load a{at(0), at(1)}, b{at(1), at(4)}, c{at(20), at(22)};
  clock.loaded(a);
  clock.loaded(b);
  CHECK(clock.ended(a, at(10)) == doctest::Approx(7));  // 10 seconds, of which three waited for b's images
  clock.resumed(at(20));                                // the checkpoint: ten seconds
  clock.loaded(c);
  CHECK(clock.ended(b, at(25)) == doctest::Approx(6));  // its own three, and 3 of the 5 since
  CHECK(clock.ended(c, at(30)) == doctest::Approx(7));
  // All together: 30 seconds less the checkpoint's ten.
}
