#include "base/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace pen::interrupt {
namespace {

std::atomic<bool> asked{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the signal handler must not wait");

void handle(int) {
  // Only async-signal-safe calls: no log, no exit().
  if (asked.exchange(true)) _exit(exit_code);
  constexpr char text[] = "\ninterrupted: finishing what is under way; once more ends at once\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text, sizeof text - 1);
}

}  // namespace

void install() {
  struct sigaction action = {};
  action.sa_handler = handle;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;  // reads and writes under way go on
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool requested() noexcept { return asked.load(std::memory_order_relaxed); }
void request() noexcept { asked = true; }
void clear() noexcept { asked = false; }

}  // namespace pen::interrupt
