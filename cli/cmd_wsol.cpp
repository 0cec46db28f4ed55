// penumbra wsol: the benchmark of weakly supervised object localisation on anybody's maps.
#include <cstdio>

#include "base/file.h"
#include "base/interrupt.h"
#include "cli/commands.h"
#include "cli/compute.h"
#include "eval/wsol/run.h"

namespace pen::cli {
namespace {

int run(const WsolOptions& options, const Invocation&) {
  interrupt::install();
  const Device device = open_device(options, options.maps.empty());
  const eval::wsol::WsolRun result = eval::wsol::run_wsol(options, device, describe(device));
  if (result.interrupted) return interrupt::exit_code;
  if (options.json) {
    const std::vector<std::uint8_t> text = read_file(result.file, std::uint64_t{1} << 24);
    std::fwrite(text.data(), 1, text.size(), stdout);
  } else {
    std::fputs(eval::wsol::wsol_table(result).c_str(), stdout);
  }
  return 0;
}

}  // namespace

Command wsol_command() {
  return make_command<WsolOptions>(
      "wsol", "judge maps by boxes (MaxBoxAcc) and pixel masks (PxAP), as the WSOL benchmark does",
      "  penumbra wsol --cam_loader casme --casm_base_path runs/ca/epoch_059.chk --casme_load_mode specific \\\n"
      "      --dataset OpenImages --dataset_split test --dataset_path dataset --metadata_path metadata \\\n"
      "      --output_base_path runs/ca/metrics\n"
      "  penumbra wsol --maps their_maps --val_json metadata/val.json --bboxes_path metadata/val_bboxes.json \\\n"
      "      --output_base_path scores/theirs.json\n",
      wsol_options(), [](WsolOptions& options, OptionValues& values) { resolve(options, values); }, run);
}

}  // namespace pen::cli
