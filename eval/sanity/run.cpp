#include "eval/sanity/run.h"

#include "base/check.h"
#include "base/log.h"
#include "base/version.h"
#include "eval/sanity/runs.h"

namespace pen::eval::sanity {

SanityRun run_sanity(const SanityOptions& options, Device device, const std::string& device_in_words) {
  open_results(options.output_path, options.overwrite);
  SanityRun run =
      options.what == "mprt" ? run_mprt(options, device, device_in_words) : run_drt(options, device, device_in_words);
  if (run.interrupted) {
    log::warn("interrupted: no results were written");
    return run;
  }
  Report& report = run.report;
  report.check = options.what;
  report.protocol = options.protocol;
  report.version = version();
  report.bootstrap = {options.bootstrap, options.confidence, static_cast<std::uint64_t>(options.seed)};
  report.means = means_of(report.headings, report.nan_counts, report.bootstrap);
  const std::size_t files = write_report(report, options.output_path).size();
  log::info(str("wrote ", files, " files to ", options.output_path, "; open index.html there"));
  return run;
}

}  // namespace pen::eval::sanity
