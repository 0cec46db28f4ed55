// Everything that training a classifier from scratch (`fit-classifier`) can be told.
#pragma once

#include <cstdint>
#include <string>

#include "base/run_options.h"
#include "train/shared_options.h"

namespace pen {

struct FitOptions : LogOptions, ComputeOptions, SaveOptions, TrainingDataOptions, LossScaleOptions {
  // Run
  std::string train_json, val_json, output_path;
  std::string name = "classifier";
  bool resume = false;
  bool dry_run = false;

  // Network
  std::string arch = "resnet50";
  double width = 1.0;
  std::int64_t input_size = 224;
  std::string resnet_path;

  // Schedule and optimiser
  std::int64_t epochs = 90;
  std::int64_t batch_size = 128;
  std::int64_t max_steps = 0;
  double lr = 0.1;
  std::string schedule = "cosine";
  std::int64_t lrde = 30;
  double warmup_epochs = 0;
  double momentum = 0.9;
  double weight_decay = 1e-4;
  double label_smoothing = 0.0;
};

const OptionTable& fit_options();
// Contradictions and options without effect are usage errors.
void resolve(FitOptions& options, OptionValues& values);

}  // namespace pen
