#include "train/options.h"

#include "models/classifier.h"
#include "models/infiller_options.h"

namespace pen {
namespace {

void add_side(OptionsOf<TrainOptions>& table, const std::string& side, TrainOptions::Side TrainOptions::*part,
              const std::string& pixels) {
  using Side = TrainOptions::Side;
  table.group("Criterion of " + side + " (" + pixels + ")");
  table.add(side + "_criterion", part, &Side::criterion, "what the masker is rewarded for on this side")
      .one_of({"crossentropy", "kldivergence", "none"});
  table
      .add(side + "_criterion_config", part, &Side::criterion_config,
           "kldivergence: JSON text or file with prior, kl, loss_on_coc, apply_class_weight and, if wanted, "
           "regularize_always, nothing_class, nothing_class_reg_weight")
      .placeholder("JSON")
      .or_none();
  table
      .add(side + "_objective_direction", part, &Side::objective_direction,
           "crossentropy: which way the objective goes")
      .one_of({"maximize", "minimize"});
  table
      .add(side + "_objective_type", part, &Side::objective_type,
           "crossentropy: entropy of the prediction where the clean image is right, or minus the cross entropy")
      .one_of({"entropy", "classification"});
  table.add(side + "_weight", part, &Side::weight, "weight of this side in both losses").at_least(0);
  table.add(side + "_lambda_r", part, &Side::lambda_r, "weight of the mask's area").at_least(0);
  table.add(side + "_lambda_tv", part, &Side::lambda_tv, "weight of the mask's total variation; none: no such term")
      .at_least(0);
}

OptionTable make_table() {
  OptionsOf<TrainOptions> table;
  using T = TrainOptions;

  table.group("Run");
  table.add("train_json", &T::train_json, "metadata of the training images").placeholder("FILE").must_be_given();
  table.add("val_json", &T::val_json, "metadata of the validation images (with --do_val)")
      .placeholder("FILE")
      .or_none()
      .changes_on_resume();
  table.add("output_path", &T::output_path, "folder that holds the runs")
      .placeholder("FOLDER")
      .must_be_given()
      .changes_on_resume();
  table.add("name", &T::name, "the run's folder inside output_path; random: a new name made of the time")
      .changes_on_resume();
  table.add("do_val", &T::do_val, "validate after each epoch").changes_on_resume();
  table
      .add("resume", &T::resume,
           "go on with the run of this name from its last checkpoint, bit for bit (on a GPU with --deterministic)")
      .of_this_call();
  table.add("dry_run", &T::dry_run, "say what would run (shapes, memory, steps, time) and write nothing")
      .of_this_call();

  table.group("Classifier");
  table
      .add("resnet_path", &T::resnet_path,
           "weights of the classifier (.safetensors), which also say its depth, width and classes; `penumbra "
           "fit-classifier` makes some")
      .placeholder("FILE")
      .or_none()
      .changes_on_resume();
  table.add("arch", &T::arch, "what resnet_path holds; none: recognised from the names and shapes of its tensors")
      .one_of(classifier_archs())
      .or_none();
  table
      .add("input_size", &T::input_size,
           "side of the square input, a multiple of 4; 0: what the classifier was trained with, or 224")
      .between(0, 2048);
  table.add("fixed_classifier", &T::fixed_classifier,
            "FIX: the classifier stays as it is; otherwise CA: it is trained with the masker");
  table.add(
      "fuse", &T::fuse,
      "run a fixed classifier (FIX, and the earlier ones of zoo_mode historic) as one operation with its norms folded "
      "in, and keep the masks of a step at the masker's resolution; false: layer by layer, masks at the image's, the "
      "same up to rounding");
  table.add("winograd", &T::winograd,
            "CA, and with fuse: let 3x3 convolutions run by Winograd's algorithm, fewer products and other roundings");
  table
      .add("cuda_graph", &T::cuda_graph,
           "on a GPU: each step but the first two goes there as one CUDA graph, the same kernels in the same order")
      .changes_on_resume();
  add_clean_ahead_option(table);
  add_loss_scale_option(table);

  table.group("Masker");
  table
      .add("masker_use_layers", &T::masker_use_layers,
           "taps of the classifier that the masker sees: 0 after the stem, 1..4 after the stages")
      .between(0, 4);
  table.add("upsample", &T::upsample, "how the mask is brought to the size of the image")
      .one_of({"nearest", "bilinear"});
  table.add("add_class_ids", &T::add_class_ids, "the masker is told the class");
  table.add("apply_gumbel", &T::apply_gumbel, "binary masks by a Gumbel softmax");
  table.add("apply_gumbel_tau", &T::apply_gumbel_tau, "its temperature; -1: learned, starting at 0.1");
  table.add("gumbel_output_mode", &T::gumbel_output_mode, "hard rounds forward only; sigmoid and logits have no noise")
      .one_of({"hard", "soft", "sigmoid", "logits"});

  add_side(table, "mask_in", &T::mask_in, "kept pixels x*m");
  add_side(table, "mask_out", &T::mask_out, "removed pixels x*(1-m)");
  table.group("Criteria, both sides");
  table.add("lambda_r", &T::lambda_r, "sets mask_in_lambda_r and mask_out_lambda_r").at_least(0);
  table.add("lambda_tv", &T::lambda_tv, "sets mask_in_lambda_tv and mask_out_lambda_tv").at_least(0);
  table
      .add("class_weights", &T::class_weights,
           "kldivergence: JSON list with a weight for each class; the prior is their inverse (none: all equal)")
      .placeholder("FILE")
      .or_none();

  table.group("Target areas");
  table.add("add_prob_layers", &T::add_prob_layers, "the masker is told the share of the image its mask should cover");
  table.add("prob_sample_low", &T::prob_sample_low, "that share is drawn uniformly from here ...").between(0, 1);
  table.add("prob_sample_high", &T::prob_sample_high, "... to here").between(0, 1);
  table.add("prob_loss_func", &T::prob_loss_func, "distance between a mask's area and its target").one_of({"l1", "l2"});

  table.group("Infilling");
  add_infiller_options(table);
  table
      .add("infiller_protocol", &T::infiller_protocol,
           "ca_infiller, dfn_infiller: paper takes the wrong region for the hole on the masked-in side, as the code "
           "that "
           "made the published numbers; strict the true one")
      .one_of({"paper", "strict"});
  table.add("train_infiller", &T::train_infiller,
            "cnn, pconv: the infiller learns too, by its own Adam, from the L1 distance of hole and valid pixels");
  table.add("lr_infiller", &T::lr_infiller, "learning rate of a trained infiller (Adam)").at_least(0);
  table.add("do_infill_for_mask_in", &T::do_infill_for_mask_in, "fill in the masked-in image");
  table.add("do_infill_for_mask_out", &T::do_infill_for_mask_out, "fill in the masked-out image");

  table.group("Schedule and optimisers");
  table.add("epochs", &T::epochs, "passes over perc_of_training of the training set")
      .between(1, 1e6)
      .changes_on_resume();
  table.add("perc_of_training", &T::perc_of_training, "fraction of the shuffled training set in each epoch")
      .above(0)
      .most = 1;
  table.add("batch_size", &T::batch_size, "images per step").between(1, 65536);
  table.add("max_steps", &T::max_steps, "stop after so many steps; 0: no limit").at_least(0).changes_on_resume();
  table.add("lr", &T::lr, "learning rate of the classifier (SGD)").at_least(0);
  table.add("lr_casme", &T::lr_casme, "learning rate of the masker (Adam)").at_least(0);
  table.add("lrde", &T::lrde, "both learning rates are divided by 10 every so many epochs; 0: never").at_least(0);
  table.add("momentum", &T::momentum, "of the classifier's SGD").between(0, 1);
  table.add("weight_decay", &T::weight_decay, "L2 for both, added to the gradient").at_least(0);
  table.add("clip_norm", &T::clip_norm, "the masker's gradient is scaled down to this norm").above(0);

  table.group("Earlier classifiers (CA)");
  table
      .add("prob_historic", &T::prob_historic,
           "paper: probability that a step leaves the classifier out; historic: that it uses an earlier one")
      .between(0, 1);
  table.add("save_freq", &T::save_freq, "a classifier is stored every so many batches").at_least(1);
  table.add("f_size", &T::f_size, "how many are stored; later ones replace a random one").between(1, 10000);
  table
      .add("zoo_mode", &T::zoo_mode,
           "paper: as in the code that made the published numbers; historic: as the method intends")
      .one_of({"paper", "historic"});

  table.group("Presets");
  table
      .add("reproduce", &T::reproduce,
           "a CASME configuration: sets lambda_r, fixed_classifier, prob_historic, save_freq")
      .one_of({"F", "L", "FL", "L100", "L1000"})
      .or_none();
  table.add("adversarial", &T::adversarial, "its variant in which the masker maximises the classifier's loss");

  add_save_options(table);
  add_training_data_options(table);
  add_compute_options(table);
  add_log_options(table, "figures of each step and validation as a JSON object a line on stdout");
  table.group("Accepted without effect");
  table.ignore("log_buffer", "of the reference; every step is written at once");
  table.ignore("casms_path", "of the reference; follows from output_path and name");
  table.ignore("log_path", "of the reference; follows from output_path and name");
  return table;
}

}  // namespace

const OptionTable& train_options() {
  static const OptionTable table = make_table();
  return table;
}

}  // namespace pen
