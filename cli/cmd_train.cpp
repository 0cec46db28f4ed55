// penumbra train and penumbra fit-classifier.
#include "base/interrupt.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/compute.h"
#include "cli/run_folder.h"
#include "train/fit_classifier.h"
#include "train/runner.h"

namespace pen::cli {
namespace {

int exit_code(RunEnd end) { return end == RunEnd::interrupted ? interrupt::exit_code : 0; }

// Whatever the two trainings share before they start: device, folder, log, and the configuration for the reader.
template <class Options>
std::string start_run(const Options& options, const Invocation& call) {
  interrupt::install();
  const Device device = open_device(options, true);
  const std::string folder =
      open_run_folder(options.output_path, options.name, options.resume, call.values, call.line, describe(device));
  log::set_file(folder + "/log.txt");
  log::info(config_table(call.values));
  return folder;
}

int run_train(const TrainOptions& options, const Invocation& call) {
  if (options.dry_run) {
    open_device(options, true);
    plan_training(options);
    return 0;
  }
  return exit_code(train_masker(options, start_run(options, call)));
}

int run_fit(const FitOptions& options, const Invocation& call) {
  if (options.dry_run) {
    open_device(options, true);
    return exit_code(fit_classifier(options, {}));
  }
  return exit_code(fit_classifier(options, start_run(options, call)));
}

template <class Options>
void resolve_run(Options& options, OptionValues& values) {
  resolve(options, values);
  options.name = run_name(options.name);
}

}  // namespace

Command train_command() {
  return make_command<TrainOptions>(
      "train", "train a masker: FIX (--fixed_classifier) or CA",
      "  penumbra train --train_json metadata/train.json --val_json metadata/val.json \\\n"
      "      --ZZsrc configs/fix.json --masker_use_layers 3,4 --resnet_path classifier.safetensors \\\n"
      "      --output_path runs --name fix\n"
      "  penumbra train --output_path runs --name fix --resume\n",
      train_options(), resolve_run<TrainOptions>, run_train,
      [](const TrainOptions& o) { return saved_options(o.output_path, o.name, o.resume); });
}

Command fit_classifier_command() {
  return make_command<FitOptions>(
      "fit-classifier", "train a classifier from scratch on your own data",
      "  penumbra fit-classifier --train_json metadata/train.json --val_json metadata/val.json \\\n"
      "      --arch resnet18 --epochs 30 --output_path runs --name classifier\n",
      fit_options(), resolve_run<FitOptions>, run_fit,
      [](const FitOptions& o) { return saved_options(o.output_path, o.name, o.resume); });
}

}  // namespace pen::cli
