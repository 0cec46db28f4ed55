// What training options mean together: rules, presets, contradictions.
#include <algorithm>
#include <cmath>

#include "base/option_rules.h"
#include "models/infiller_options.h"
#include "train/kl_options.h"
#include "train/options.h"

namespace pen {
namespace {

using rules::check_effect;
using rules::contradiction;

// The CASME configurations (Zolna, Geras, Cho 2018, section 5): what one of them fixes.
struct Preset {
  const char* name;
  bool fixed_classifier;
  double prob_historic;
  std::int64_t save_freq;
  double lambda_r, lambda_r_adversarial;
};
constexpr Preset presets[] = {{"F", true, 0.0, 10'000'000, 2.5, 9},
                              {"L", false, 0.0, 10'000'000, 14, 18},
                              {"FL", false, 0.5, 10'000'000, 7.5, 11},
                              {"L100", false, 0.5, 100, 10, 17},
                              {"L1000", false, 0.5, 1000, 10, 17}};

std::string shown(bool value) { return value ? "true" : "false"; }
template <class T>
std::string shown(const T& value) {
  return str(value);
}

// Sets `field`, which a preset or another option decides. A value that was given on purpose and differs is an error.
template <class T, class V>
void decide(OptionValues& values, const std::string& name, T& field, const V& value, const std::string& by,
            const Origin& origin) {
  if (values.source(name) >= OptionSource::file && values.origin(name).via.empty() && field != T(value))
    contradiction(values, by, name, str("the first sets ", name, " to ", shown(value)));
  field = value;
  values.note(name, origin);
}

void apply_preset(TrainOptions& options, OptionValues& values) {
  if (options.reproduce.empty()) {
    PEN_CHECK_AS(usage, !options.adversarial, "--adversarial is a variant of the presets and needs --reproduce");
    return;
  }
  const Preset& preset = *std::find_if(std::begin(presets), std::end(presets),
                                       [&](const Preset& p) { return p.name == options.reproduce; });
  const Origin origin{OptionSource::preset, {}, "reproduce " + options.reproduce};
  const double lambda = options.adversarial ? preset.lambda_r_adversarial : preset.lambda_r;
  decide(values, "fixed_classifier", options.fixed_classifier, preset.fixed_classifier, "reproduce", origin);
  decide(values, "prob_historic", options.prob_historic, preset.prob_historic, "reproduce", origin);
  decide(values, "save_freq", options.save_freq, preset.save_freq, "reproduce", origin);
  decide(values, "lambda_r", options.lambda_r, lambda, "reproduce", origin);
  decide(values, "mask_in_lambda_r", options.mask_in.lambda_r, lambda, "reproduce", origin);
  decide(values, "mask_out_lambda_r", options.mask_out.lambda_r, lambda, "reproduce", origin);
  // CASME looks at the removed pixels only: the masker maximises the entropy of what is predicted from them or, in the
  // adversarial variant, the classifier's loss (it minimises minus the cross entropy).
  const auto fill = [&](const char* name, std::string& field, const char* value) {
    if (values.source(name) >= OptionSource::file) return;
    field = value;
    values.note(name, origin);
  };
  fill("mask_out_criterion", options.mask_out.criterion, "crossentropy");
  fill("mask_out_objective_direction", options.mask_out.objective_direction,
       options.adversarial ? "minimize" : "maximize");
  fill("mask_out_objective_type", options.mask_out.objective_type, options.adversarial ? "classification" : "entropy");
}

// lambda_r and lambda_tv stand for both sides, unless a side's own value comes from a higher source.
template <class T>
void set_side(OptionValues& values, const std::string& shared, const std::optional<double>& value,
              const std::string& name, T& field) {
  if (!value || values.source(name) > values.source(shared)) return;
  if (values.source(name) == values.source(shared) && values.origin(name).via.empty() && field != T(*value))
    contradiction(values, shared, name, "the first sets the second");
  field = *value;
  Origin origin = values.origin(shared);
  if (origin.source != OptionSource::preset) origin.via = shared;
  values.note(name, origin);
}

// A fixed classifier has no earlier versions. Defaults and lower sources give way, equal ones contradict.
void check_zoo(TrainOptions& options, OptionValues& values) {
  if (!options.fixed_classifier) return;
  const auto give_way = [&](const std::string& name, auto& field, const auto& neutral) {
    if (field == neutral) return;
    if (values.source(name) != OptionSource::fallback && values.source(name) >= values.source("fixed_classifier"))
      contradiction(values, "fixed_classifier", name, "a classifier that is never trained has no earlier versions");
    field = neutral;
    Origin origin = values.origin("fixed_classifier");
    origin.via = "fixed_classifier";
    values.note(name, origin);
  };
  give_way("prob_historic", options.prob_historic, 0.0);
  give_way("zoo_mode", options.zoo_mode, std::string("paper"));
}

void check_side(const TrainOptions::Side& side, const OptionValues& values, const std::string& name) {
  const std::string criterion = name + "_criterion";
  check_effect(values, side.criterion == "crossentropy", {name + "_objective_direction", name + "_objective_type"},
               str(criterion, " is ", side.criterion, ", not crossentropy"));
  check_effect(values, side.criterion != "none",
               {name + "_weight", name + "_lambda_r", name + "_lambda_tv", name + "_criterion_config"},
               criterion + " is none");
  if (side.criterion == "kldivergence") {
    PEN_CHECK_AS(usage, !side.criterion_config.empty(), "--", criterion, " kldivergence needs --", criterion,
                 "_config");
    parse_kl_options(side.criterion_config, criterion + "_config");
  } else if (side.criterion == "crossentropy" && !side.criterion_config.empty()) {
    contradiction(values, criterion, criterion + "_config", "only kldivergence has a configuration");
  }
}

void check_masker(TrainOptions& options, const OptionValues& values) {
  rules::check_taps(options.masker_use_layers);
  PEN_CHECK_AS(usage, options.apply_gumbel_tau > 0 || options.apply_gumbel_tau == -1,
               "--apply_gumbel_tau: ", options.apply_gumbel_tau, " is neither positive nor -1 (learned)");
  check_effect(values, options.apply_gumbel, {"apply_gumbel_tau", "gumbel_output_mode"}, "apply_gumbel is not set");
  check_effect(values, options.add_prob_layers, {"prob_sample_low", "prob_sample_high", "prob_loss_func"},
               "add_prob_layers is not set");
  if (options.prob_sample_low > options.prob_sample_high)
    contradiction(values, "prob_sample_low", "prob_sample_high", "the lower bound is above the upper one");
}

void check_infilling(TrainOptions& options, OptionValues& values) {
  const bool wanted = options.do_infill_for_mask_in || options.do_infill_for_mask_out;
  PEN_CHECK_AS(usage, !wanted || !options.infiller_model.empty(), "--do_infill_for_mask_",
               options.do_infill_for_mask_in ? "in" : "out", " needs an --infiller_model");
  check_effect(values, wanted, {"infiller_model"}, "neither do_infill_for_mask_in nor do_infill_for_mask_out is set");
  resolve_infiller_file(options.infiller_model, options.infiller_path, options.train_infiller, values);
  const bool two = options.infiller_model == "ca_infiller" || options.infiller_model == "dfn_infiller";
  check_effect(values, two, {"infiller_protocol"}, "infiller_model is neither ca_infiller nor dfn_infiller");
  check_effect(values, options.train_infiller, {"lr_infiller"}, "train_infiller is not set");
  PEN_CHECK_AS(usage, !options.train_infiller || options.infiller_model == "cnn" || options.infiller_model == "pconv",
               "--train_infiller: ", options.infiller_model.empty() ? "no infiller" : options.infiller_model,
               " cannot be trained here; cnn and pconv can");
}

}  // namespace

void resolve(TrainOptions& options, OptionValues& values) {
  apply_preset(options, values);
  set_side(values, "lambda_r", options.lambda_r, "mask_in_lambda_r", options.mask_in.lambda_r);
  set_side(values, "lambda_r", options.lambda_r, "mask_out_lambda_r", options.mask_out.lambda_r);
  set_side(values, "lambda_tv", options.lambda_tv, "mask_in_lambda_tv", options.mask_in.lambda_tv);
  set_side(values, "lambda_tv", options.lambda_tv, "mask_out_lambda_tv", options.mask_out.lambda_tv);
  check_zoo(options, values);
  resolve_reading_options(values, options);
  check_side(options.mask_in, values, "mask_in");
  check_side(options.mask_out, values, "mask_out");
  if (options.mask_in.criterion == "none" && options.mask_out.criterion == "none")
    fail(ErrorKind::usage, "mask_in_criterion and mask_out_criterion are both none: there is nothing to train for",
         "--ZZsrc configs/fix.json or configs/ca.json holds the published settings");
  const bool kl = options.mask_in.criterion == "kldivergence" || options.mask_out.criterion == "kldivergence";
  check_effect(values, kl, {"class_weights"}, "neither side has the kldivergence criterion");
  check_masker(options, values);
  check_infilling(options, values);
  check_effect(values, options.fuse || !options.fixed_classifier, {"winograd"}, "--fuse is false");
  PEN_CHECK_AS(usage, !options.is_16_bit() || !options.fixed_classifier || options.fuse, "--precision ",
               options.precision, " with --fixed_classifier is for its frozen form, and --fuse is false");
  check_effect(values, parse_device(options.device).is_cuda(), {"cuda_graph"}, "the device is the CPU");
  const bool both = options.mask_in.criterion != "none" && options.mask_out.criterion != "none";
  const auto ahead = [&](bool used, const char* why) { check_effect(values, used, {"clean_ahead"}, why); };
  ahead(options.fixed_classifier, "the classifier is trained");
  ahead(options.fuse, "--fuse is false");
  ahead(both, "one side has no criterion");
  ahead(!options.do_infill_for_mask_in && !options.do_infill_for_mask_out, "masked images are filled in");
  ahead(!options.overfit_one_batch, "with overfit_one_batch there is one batch");
  if (options.clean_ahead == "on" && options.deterministic)
    contradiction(values, "clean_ahead", "deterministic",
                  "a run that goes on begins with a clean pass of its own, which a GPU may round otherwise");
  check_loss_scale(values, options.precision, options.loss_scale);
  check_effect(values, !options.fixed_classifier, {"save_freq", "f_size", "lr", "momentum"}, "the classifier is fixed");
  rules::check_input_size(options.input_size);
  PEN_CHECK_AS(usage, !options.do_val || !options.val_json.empty(), "--do_val needs --val_json");
  PEN_CHECK_AS(usage, options.resume || !options.resnet_path.empty(),
               "--resnet_path is missing: the classifier's weights are not downloaded; `penumbra fit-classifier` makes "
               "some from your data");
  rules::check_run_name(options.name, options.resume);
}

}  // namespace pen
