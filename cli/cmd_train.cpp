// penumbra train and penumbra fit-classifier.
#include "base/interrupt.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/run_folder.h"
#include "train/fit_classifier.h"
#include "train/runner.h"

namespace pen::cli {
namespace {

int exit_code(RunEnd end) { return end == RunEnd::interrupted ? interrupt::exit_code : 0; }

int run_train(const TrainOptions& options, const Invocation& call) {
  if (options.dry_run) {
    plan_training(options);
    return 0;
  }
  const std::string folder = open_run_folder(options.output_path, options.name, options.resume, call.values, call.line,
                                             name_of(parse_device(options.device)));
  log::set_file(folder + "/log.txt");
  return exit_code(train_masker(options, folder));
}

int run_fit(const FitOptions& options, const Invocation& call) {
  if (options.dry_run) return exit_code(fit_classifier(options, {}));
  const std::string folder = open_run_folder(options.output_path, options.name, options.resume, call.values, call.line,
                                             name_of(parse_device(options.device)));
  log::set_file(folder + "/log.txt");
  return exit_code(fit_classifier(options, folder));
}

}  // namespace

Command train_command() {
  return make_command<TrainOptions>(
      "train", "train a masker: FIX (--fixed_classifier) or CA",
      "penumbra train --train_json metadata/train.json --val_json metadata/val.json --ZZsrc configs/fix.json "
      "--masker_use_layers 3,4 --resnet_path classifier.safetensors --output_path runs --name fix",
      train_options(), [](TrainOptions& o, OptionValues& v) { resolve(o, v); }, run_train,
      [](const TrainOptions& o) { return saved_options(o.output_path, o.name, o.resume); });
}

Command fit_classifier_command() {
  return make_command<FitOptions>(
      "fit-classifier", "train a classifier from scratch on your own data",
      "penumbra fit-classifier --train_json metadata/train.json --val_json metadata/val.json --arch resnet18 --epochs "
      "30 "
      "--output_path runs --name classifier",
      fit_options(), [](FitOptions& o, OptionValues& v) { resolve(o, v); }, run_fit,
      [](const FitOptions& o) { return saved_options(o.output_path, o.name, o.resume); });
}

}  // namespace pen::cli
