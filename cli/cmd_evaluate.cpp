// penumbra evaluate: many methods, many metrics, one table.
#include <cstdio>

#include "base/interrupt.h"
#include "cli/commands.h"
#include "cli/compute.h"
#include "eval/judging/run.h"

namespace pen::cli {
namespace {

int run(const EvaluateOptions& options, const Invocation&) {
  interrupt::install();
  const Device device = open_device(options, true);
  const eval::EvaluateRun result = eval::run_evaluate(options, device, describe(device));
  if (options.json) {
    for (const eval::MethodResult& method : result.methods) std::fputs(method.json.c_str(), stdout);
  } else if (!result.methods.empty()) {
    std::fputs(eval::evaluate_table(result.methods, options.protocol).markdown().c_str(), stdout);
  }
  return result.interrupted ? interrupt::exit_code : 0;
}

}  // namespace

Command evaluate_command() {
  return make_command<EvaluateOptions>(
      "evaluate", "judge the maps of many methods by many metrics, in one table with intervals",
      "  penumbra evaluate --methods casme,grad_cam,rise,center --casm_path runs/fix/last.chk \\\n"
      "      --val_json metadata/val.json --bboxes_path metadata/val_bboxes.json \\\n"
      "      --metrics LE,MaxBoxAccV2,insertion,deletion,pointing_game,ms_per_image --output_path scores/methods\n"
      "  penumbra evaluate --maps their_maps --resnet_path classifier.chk --val_json metadata/val.json \\\n"
      "      --bboxes_path metadata/val_bboxes.json --metrics insertion,deletion --output_path scores/theirs\n",
      evaluate_options(), [](EvaluateOptions& options, OptionValues& values) { resolve(options, values); }, run);
}

}  // namespace pen::cli
