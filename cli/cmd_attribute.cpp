// penumbra attribute: maps of attribution methods, or of a masker, as files.
#include <cstdio>

#include "base/check.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/attribute.h"
#include "cli/commands.h"
#include "cli/compute.h"

namespace pen::cli {
namespace {

std::string json_line(const eval::AttributedImage& one) {
  JsonWriter json(false);
  json.begin_object().field("image", one.image).field("id", one.id).field("method", one.method);
  json.field("target", one.target).field("predicted", one.predicted).field("map", one.map);
  if (!one.picture.empty()) json.field("picture", one.picture);
  json.end_object();
  return json.text() + "\n";
}

int run(const AttributeOptions& options, const Invocation&) {
  if (options.list_methods) {
    std::fputs(eval::method_list().c_str(), stdout);
    return 0;
  }
  interrupt::install();
  const Device device = open_device(options);
  if (!options.list_layers) return run_attribute(options, device);
  std::fputs(eval::layer_table(options, device).c_str(), stdout);
  return 0;
}

}  // namespace

int run_attribute(const AttributeOptions& options, Device device) {
  const eval::AttributeRun result =
      eval::run_attribute(options, device, describe(device), [&](const eval::AttributedImage& one) {
        if (options.json) std::fputs(json_line(one).c_str(), stdout);
      });
  log::info(str("wrote ", result.maps, " maps of ", result.images, " images to ", options.output_path));
  if (result.interrupted) return interrupt::exit_code;
  // What could be explained is there; that something could not shows in the exit code.
  if (result.bad > 0)
    fail(ErrorKind::data, str(result.bad, " of ", result.bad + result.images, " images could not be read"));
  return 0;
}

Command attribute_command() {
  return make_command<AttributeOptions>(
      "attribute", "make maps by attribution methods: raw maps as .npy, pictures beside them",
      "  penumbra attribute photos/ --method grad_cam --resnet_path classifier.chk --output_path maps\n"
      "  penumbra attribute --val_json metadata/val.json --method gradient,rise --samples 500 --target top1 \\\n"
      "      --resnet_path classifier.chk --output_path maps --pictures none\n"
      "  penumbra attribute --list_layers --resnet_path classifier.chk\n",
      attribute_options(), [](AttributeOptions& options, OptionValues& values) { resolve(options, values); }, run);
}

}  // namespace pen::cli
