#include "base/process_memory.h"

#include <sys/resource.h>

#include <fstream>
#include <string>

#include "base/check.h"

namespace pen {

std::int64_t peak_resident_bytes() {
  // getrusage's figure never falls; the kernel's own, which can be reset, stands here.
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (std::int64_t kilobytes = 0; word == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  rusage used{};
  PEN_CHECK(getrusage(RUSAGE_SELF, &used) == 0, "the system does not say how much memory was used");
  return std::int64_t{used.ru_maxrss} * 1024;
}

void reset_peak_resident() { std::ofstream("/proc/self/clear_refs") << "5" << std::flush; }

}  // namespace pen
