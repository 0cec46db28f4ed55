// penumbra explain: panel, raw map and top classes of single images.
#include <cstdio>

#include "base/interrupt.h"
#include "base/log.h"
#include "cli/attribute.h"
#include "cli/commands.h"
#include "cli/compute.h"
#include "eval/options.h"
#include "eval/run_explain.h"

namespace pen::cli {
namespace {

// The grid of methods x images is `attribute` with one picture for all.
int run_grid(const ExplainOptions& o, Device device) {
  AttributeOptions grid;
  static_cast<LogOptions&>(grid) = o;
  static_cast<ComputeOptions&>(grid) = o;
  static_cast<MethodOptions&>(grid) = o;
  grid.images = o.images;
  grid.method = o.method;
  grid.casm_path = o.casm_path;
  grid.resnet_path = o.resnet_path;
  grid.arch = o.arch;
  grid.fuse = o.fuse;
  grid.classifier_load_mode = o.classifier_load_mode;
  grid.use_p = o.use_p;
  grid.limit = o.limit;
  grid.break_ratio = o.break_ratio;
  grid.batch_size = o.batch_size;
  grid.output_path = o.output_path;
  grid.overwrite = true;
  grid.pictures = "grid";
  grid.color_map = o.color_map;
  grid.normalize = o.normalize;
  return run_attribute(grid, device);
}

int run(const ExplainOptions& options, const Invocation&) {
  interrupt::install();
  const Device device = open_device(options, true);
  if (!options.method.empty()) return run_grid(options, device);
  const eval::ExplainRun result = eval::run_explain(options, device, [&](const eval::Explanation& e) {
    std::fputs((options.json ? eval::explanation_json(e, false) + "\n" : eval::explanation_text(e)).c_str(), stdout);
  });
  if (result.explained > 0)
    log::info(str("wrote the panels of ", result.explained, " images to ", options.output_path));
  if (result.interrupted) return interrupt::exit_code;
  // What could be explained is there; that something could not shows in the exit code.
  if (result.bad > 0)
    fail(ErrorKind::data, str(result.bad, " of ", result.bad + result.explained, " images could not be read"));
  return 0;
}

}  // namespace

Command explain_command() {
  return make_command<ExplainOptions>(
      "explain", "show what a masker sees in images: panels, raw maps, classes before and after masking",
      "  penumbra explain cat.jpg photos/ --casm_path runs/fix/last.chk --output_path explained\n"
      "  penumbra explain cat.jpg --method casme,grad_cam,layer_cam --casm_path runs/fix/last.chk --output_path grid\n"
      "  find . -name '*.png' | penumbra explain - --casm_path runs/fix/last.chk --output_path explained --json\n",
      explain_options(), [](ExplainOptions& options, OptionValues& values) { resolve(options, values); }, run);
}

}  // namespace pen::cli
