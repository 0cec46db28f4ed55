// penumbra compare: two results on the same images, image by image.
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "cli/commands.h"
#include "eval/judging/compare.h"

namespace pen::cli {
namespace {

int run(const CompareOptions& options, const Invocation&) {
  const eval::Comparison found =
      eval::compare(eval::read_image_results(options.files[0]), eval::read_image_results(options.files[1]), options);
  log::info(str("A: ", found.a, "\nB: ", found.b));
  if (found.left_out > 0) log::warn(str(found.left_out, " images that only one of the files has were left out"));
  const eval::Table table = comparison_table(found);
  std::fputs((options.json ? comparison_json(found, options) : table.markdown()).c_str(), stdout);
  if (options.output.empty()) return 0;
  const std::string folder = std::filesystem::path(options.output).parent_path().string();
  if (!folder.empty()) make_folders(folder);
  write_file(options.output, options.output.ends_with(".csv")   ? table.csv()
                             : options.output.ends_with(".tex") ? table.latex()
                                                                : table.markdown());
  log::info("wrote " + options.output);
  return 0;
}

}  // namespace

Command compare_command() {
  return make_command<CompareOptions>(
      "compare", "two results on the same images: paired differences with intervals, and who wins how often",
      "  penumbra compare scores/methods/casme.json scores/methods/grad_cam.json --output casme_grad_cam.md\n"
      "  penumbra compare a.csv b.csv --columns LE,SM\n",
      compare_options(), [](CompareOptions& options, OptionValues& values) { resolve(options, values); }, run);
}

}  // namespace pen::cli
