// penumbra score: masks, or boxes, against annotated boxes.
#include <cstdio>

#include "base/interrupt.h"
#include "cli/commands.h"
#include "cli/compute.h"
#include "eval/options.h"
#include "eval/run_score.h"
#include "eval/score_report.h"

namespace pen::cli {
namespace {

int run(const ScoreRunOptions& options, const Invocation&) {
  interrupt::install();
  const Device device = open_device(options, true);
  const eval::ScoreRun result = eval::run_score(options, device, describe(device));
  if (result.interrupted) return interrupt::exit_code;
  std::fputs(options.json ? eval::totals_json(result.totals).c_str() : eval::score_table(result).c_str(), stdout);
  return 0;
}

}  // namespace

Command score_command() {
  return make_command<ScoreRunOptions>(
      "score", "measure how well masks find the annotated objects",
      "  penumbra score --mode casme --casm_path runs/fix/last.chk --resnet_path classifier.chk \\\n"
      "      --val_json metadata/val.json --bboxes_path metadata/val_bboxes.json --output_path scores/fix.json\n"
      "  penumbra score --mode center --resnet_path classifier.chk --val_json metadata/val.json \\\n"
      "      --bboxes_path metadata/val_bboxes.json --output_path scores/center.json\n",
      score_options(), [](ScoreRunOptions& options, OptionValues& values) { resolve(options, values); }, run);
}

}  // namespace pen::cli
