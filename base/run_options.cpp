#include "base/run_options.h"

#include "base/log.h"

namespace pen {

void apply_log_options(const LogOptions& options) {
  PEN_CHECK_AS(usage, !(options.quiet && options.verbose), "--quiet and --verbose contradict each other");
  log::set_level(options.quiet ? log::Level::quiet : options.verbose ? log::Level::verbose : log::Level::normal);
  log::set_progress(log::parse_progress(options.progress));
}

}  // namespace pen
