#include "train/fit_options.h"

#include "base/option_rules.h"
#include "models/classifier.h"

namespace pen {
namespace {

OptionTable make_table() {
  OptionsOf<FitOptions> table;
  using F = FitOptions;
  table.group("Run");
  table.add("train_json", &F::train_json, "metadata of the training images").placeholder("FILE").must_be_given();
  table.add("val_json", &F::val_json, "metadata of the validation images; none: no validation")
      .placeholder("FILE")
      .or_none()
      .changes_on_resume();
  table.add("output_path", &F::output_path, "folder that holds the runs")
      .placeholder("FOLDER")
      .must_be_given()
      .changes_on_resume();
  table.add("name", &F::name, "the run's folder inside output_path; random: a new name made of the time")
      .changes_on_resume();
  table
      .add("resume", &F::resume,
           "go on with the run of this name from its last checkpoint, bit for bit (on a GPU with --deterministic)")
      .of_this_call();
  table.add("dry_run", &F::dry_run, "say what would run (shapes, memory, steps, time) and write nothing")
      .of_this_call();

  table.group("Network");
  table.add("arch", &F::arch, "network; resnet20, 32, 44, 56 and 110 are those for small images, of three stages")
      .one_of(classifier_archs());
  table.add("width", &F::width, "factor on all channel counts").above(0).most = 8;
  table.add("input_size", &F::input_size, "side of the square input, a multiple of 4").between(32, 2048);
  table.add("resnet_path", &F::resnet_path, "weights to start from; none: from scratch")
      .placeholder("FILE")
      .or_none()
      .changes_on_resume();

  table.group("Schedule and optimiser (SGD)");
  table.add("epochs", &F::epochs, "passes over the training set").between(1, 1e6);
  table.add("batch_size", &F::batch_size, "images per step").between(1, 65536);
  table.add("max_steps", &F::max_steps, "stop after so many steps; 0: no limit").at_least(0).changes_on_resume();
  table.add("lr", &F::lr, "highest learning rate").at_least(0);
  table.add("schedule", &F::schedule, "cosine falls to 0 over all steps; step divides by 10 every lrde epochs")
      .one_of({"cosine", "step"});
  table.add("lrde", &F::lrde, "schedule step: epochs between two divisions").at_least(1);
  table.add("warmup_epochs", &F::warmup_epochs, "the learning rate rises linearly from 0 over so many epochs")
      .at_least(0);
  table.add("momentum", &F::momentum, "momentum").between(0, 1);
  table.add("weight_decay", &F::weight_decay, "L2, added to the gradient").at_least(0);
  table.add("label_smoothing", &F::label_smoothing, "share of the target spread over all classes").between(0, 1);

  add_loss_scale_option(table);

  add_save_options(table);
  add_training_data_options(table);
  add_compute_options(table);
  add_log_options(table, "figures of each step and validation as a JSON object a line on stdout");
  return table;
}

}  // namespace

const OptionTable& fit_options() {
  static const OptionTable table = make_table();
  return table;
}

void resolve(FitOptions& options, OptionValues& values) {
  rules::check_effect(values, options.schedule == "step", {"lrde"}, "the schedule is cosine");
  check_loss_scale(values, options.precision, options.loss_scale);
  resolve_reading_options(values, options);
  rules::check_input_size(options.input_size);
  rules::check_run_name(options.name, options.resume);
  PEN_CHECK_AS(usage, options.warmup_epochs <= static_cast<double>(options.epochs),
               "--warmup_epochs: ", options.warmup_epochs, " is more than all ", options.epochs, " epochs");
}

}  // namespace pen
