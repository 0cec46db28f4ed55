// Everything that a masker training can be told. Names and defaults of the reference's options are kept; ours follow.
// Each option is documented and bounded in train_options() (options.cpp), the table that the command line, JSON files,
// --print_config, the help and docs/options.md are made from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/run_options.h"
#include "train/shared_options.h"

namespace pen {

struct TrainOptions : LogOptions,
                      ComputeOptions,
                      SaveOptions,
                      TrainingDataOptions,
                      LossScaleOptions,
                      CleanAheadOptions {
  // Run
  std::string train_json, val_json, output_path;
  std::string name = "random";
  bool do_val = false;
  bool resume = false;
  bool dry_run = false;

  // Classifier
  std::string resnet_path;
  std::string arch;
  std::int64_t input_size = 0;  // 0: what the classifier was trained with
  bool fixed_classifier = false;
  bool fuse = true;
  bool winograd = true;
  bool cuda_graph = false;

  // Masker
  std::vector<std::int64_t> masker_use_layers = {0, 1, 2, 3, 4};
  std::string upsample = "nearest";
  bool add_class_ids = false;
  bool apply_gumbel = false;
  double apply_gumbel_tau = 0.1;
  std::string gumbel_output_mode = "hard";

  // One per side: mask_in_* on the kept pixels x*m, mask_out_* on the removed ones x*(1-m)
  struct Side {
    std::string criterion = "none";
    std::string criterion_config;
    std::string objective_direction = "maximize";
    std::string objective_type = "entropy";
    double weight = 1.0;
    double lambda_r = 10.0;
    std::optional<double> lambda_tv;
    bool operator==(const Side&) const = default;
  };
  Side mask_in, mask_out;
  std::optional<double> lambda_r, lambda_tv;
  std::string class_weights;

  // Target areas
  bool add_prob_layers = false;
  double prob_sample_low = 0.25, prob_sample_high = 0.75;
  std::string prob_loss_func = "l1";

  // Infilling
  std::string infiller_model, infiller_path;
  std::string infiller_protocol = "paper";
  bool train_infiller = false;
  double lr_infiller = 0.001;
  bool do_infill_for_mask_in = false, do_infill_for_mask_out = false;

  // Schedule and optimisers
  std::int64_t epochs = 60;
  double perc_of_training = 0.2;
  std::int64_t batch_size = 128;
  std::int64_t max_steps = 0;
  double lr = 0.001, lr_casme = 0.001;
  std::int64_t lrde = 20;
  double momentum = 0.9;
  double weight_decay = 1e-4;
  double clip_norm = 10.0;

  // Earlier classifiers (the zoo)
  double prob_historic = 0.5;
  std::int64_t save_freq = 1000;
  std::int64_t f_size = 30;
  std::string zoo_mode = "paper";

  // Presets
  std::string reproduce;
  bool adversarial = false;
};

// The table. One object for the whole program.
const OptionTable& train_options();

// What the options mean together, once all sources are read: lambda_r and lambda_tv are set for both sides, presets
// and dependent values filled in, each with its origin. Contradictions are usage errors that name both options and say
// where they came from. Between sources the higher one wins (default < preset < file < command line); only values
// of equal standing contradict each other. Idempotent.
void resolve(TrainOptions& options, OptionValues& values);

}  // namespace pen
