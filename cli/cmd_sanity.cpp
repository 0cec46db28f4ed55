// penumbra sanity: whether maps depend on what a network has learned.
#include <cstdio>

#include "base/interrupt.h"
#include "cli/commands.h"
#include "cli/compute.h"
#include "eval/sanity/options.h"
#include "eval/sanity/run.h"

namespace pen::cli {
namespace {

int run(const SanityOptions& options, const Invocation&) {
  interrupt::install();
  const Device device = open_device(options);
  const eval::sanity::SanityRun result = eval::sanity::run_sanity(options, device, describe(device));
  if (result.interrupted) return interrupt::exit_code;
  std::fputs(options.json ? eval::sanity::scores_json(result.report).c_str()
                          : eval::sanity::means_table(result.report).c_str(),
             stdout);
  return 0;
}

}  // namespace

Command sanity_command() {
  return make_command<SanityOptions>(
      "sanity", "check that maps depend on the network: random layers (mprt), shuffled labels (drt)",
      "  penumbra sanity mprt --casm_path runs/fix/last.chk --val_json metadata/val.json --output_path sanity/fix\n"
      "  penumbra sanity mprt --method grad_cam --casm_path runs/fix/last.chk --protocol strict \\\n"
      "      --val_json metadata/val.json --output_path sanity/grad_cam\n"
      "  penumbra sanity drt --casm_path1 runs/fix/last.chk --casm_path2 runs/fix_shuffled/last.chk \\\n"
      "      --val_json metadata/val.json --output_path sanity/drt\n",
      sanity_options(), [](SanityOptions& options, OptionValues& values) { resolve(options, values); }, run);
}

}  // namespace pen::cli
