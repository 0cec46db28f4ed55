#include "train/step.h"

#include <cmath>
#include <map>

#include "kernels/kernels.h"
#include "layers/mask_statistics.h"
#include "models/frozen_classifier.h"
#include "tensor/autograd.h"
#include "tensor/ops.h"
#include "train/criteria.h"

namespace pen {
namespace {

// mask_avg, mask_std, mask_entropy, mask_tv of the masks at the images' size. A batch of one image has no mask_std:
// NaN, which is null in JSON and left out of means.
void log_mask(const Tensor& mask, std::int64_t scale, LateLog& log) {
  log.add({"mask_avg", "mask_std", "mask_entropy", "mask_tv"}, {ops::mask_statistics(mask.detach(), scale)},
          [](const LateLog::Elements& e) {
            std::vector<MaskStatistics> images;
            for (std::size_t i = 0; i + 2 < e[0].size(); i += 3) images.push_back({e[0][i], e[0][i + 1], e[0][i + 2]});
            const BatchMaskStatistics batch = combine(images);
            return std::vector<double>{batch.avg, batch.std, batch.entropy, batch.tv};
          });
}

// The share of images, in percent, that these classes (N) are right about.
void log_accuracy(std::string name, const Tensor& predicted, const StepBatch& batch, LateLog& log) {
  log.add(std::move(name), {predicted}, [labels = batch.labels](const LateLog::Elements& e) {
    return accuracy({e[0].begin(), e[0].end()}, labels);
  });
}

// Restores training or evaluation mode on every way out.
class ModeScope {
 public:
  ModeScope(Module& module, bool training) : module_(module), before_(module.is_training()) { module.train(training); }
  ~ModeScope() { module_.train(before_); }
  ModeScope(const ModeScope&) = delete;

 private:
  Module& module_;
  bool before_;
};

// Each element says whether what overflowed inside a classifier in fp16 has reached it: such a sum is not finite.
void log_overflow(const std::vector<Tensor>& sums, LateLog& log) {
  log.add("overflow", sums, [](const LateLog::Elements& e) {
    bool finite = true;
    for (const auto& sum : e) finite = finite && std::isfinite(sum[0]);
    return finite ? 0.0 : 1.0;
  });
}

}  // namespace

void backward_scaled(const Tensor& loss, double scale, const BackwardOptions& options) {
  backward(loss, scale == 1 ? Tensor() : Tensor::full(loss.shape(), scale, loss.dtype(), loss.device()), options);
}

Tensor label_ids(const StepBatch& batch, std::int64_t classes) {
  for (const std::int64_t label : batch.labels)
    PEN_CHECK(label >= 0 && label < classes, "label ", label, " is not among ", classes, " classes");
  return Tensor::from(batch.labels, {static_cast<std::int64_t>(batch.labels.size())}, batch.images.device());
}

double accuracy(const std::vector<std::int64_t>& predicted, const std::vector<std::int64_t>& labels) {
  std::size_t right = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) right += predicted[i] == labels[i];
  return labels.empty() ? 0 : 100.0 * static_cast<double>(right) / static_cast<double>(labels.size());
}

// What the later passes need of the clean one.
struct TrainStep::Clean {
  Tensor labels;             // (N) classes of the batch, on the device
  Tensor logits;             // without history
  std::vector<Tensor> taps;  // detached: the masker does not train the classifier
  Tensor predicted;          // (N) classes
  Tensor loss;               // scalar, without history
  Tensor squares;            // of its gradients in fp16, see require_finite; undefined: nobody asked
};

// One masked side.
struct TrainStep::Side {
  const char* prefix;
  Tensor masker_loss;      // weighted criterion
  Tensor classifier_loss;  // weighted cross entropy
  bool one_backward;       // the masker's loss has the gradients of the classifier's in it
  Tensor loss, predicted;  // cross entropy and classes, for the log
  std::map<std::string, Figure> figures;
};

TrainStep::TrainStep(const TrainOptions& options, Classifier& classifier, Masker& masker,
                     Optimizer& classifier_optimizer, Optimizer& masker_optimizer)
    : options_(options),
      classifier_(classifier),
      masker_(masker),
      classifier_optimizer_(classifier_optimizer),
      masker_optimizer_(masker_optimizer),
      criterion_in_(make_criterion(options, MaskSide::in, classifier.classes())),
      criterion_out_(make_criterion(options, MaskSide::out, classifier.classes())),
      zoo_(options.zoo_mode == "historic" ? static_cast<std::size_t>(options.f_size) : 0),
      past_({.fuse = options.fuse, .winograd = options.winograd, .gradient_scale = options.loss_scale}) {
  if (!options.do_infill_for_mask_in && !options.do_infill_for_mask_out) infilling_.emplace(options, nullptr, nullptr);
  if (options.fixed_classifier) {
    classifier.set_requires_grad(false);
    classifier.eval();
  } else if (classifier.dtype() == DType::f32) {
    classifier.set_inside(compute_policy().frozen);
  }
}

// Frozen networks scale what is inside of them by themselves.
double TrainStep::scale_of(const Classifier& judge) const {
  return judge.inside() == DType::f16 ? options_.loss_scale : 1;
}

Classifier& TrainStep::fixed_classifier() {
  if (!options_.fuse) return classifier_;
  if (!frozen_) frozen_ = freeze(classifier_, {.winograd = options_.winograd, .gradient_scale = options_.loss_scale});
  return frozen_ ? *frozen_ : classifier_;  // not every kind of network has a frozen form
}

bool TrainStep::reads_next() {
  return options_.fixed_classifier && criterion_in_ && criterion_out_ && infilling_ && !infilling_->wanted() &&
         fixed_classifier().is_frozen();
}

std::optional<ClassifierOutput> TrainStep::take_ahead(const Tensor& images) {
  std::optional<Ahead> ahead = std::exchange(ahead_, std::nullopt);
  if (!ahead || ahead->images.handle() != images.handle() || ahead->version != images.version()) return std::nullopt;
  return std::move(ahead->out);
}

void TrainStep::use_infiller(Infiller& infiller, Optimizer* optimizer) {
  infilling_.emplace(options_, &infiller, optimizer);
}

// z and the taps; in CA also cross entropy and one SGD step on it.
TrainStep::Clean TrainStep::clean_pass(const StepBatch& batch, bool update, std::optional<ClassifierOutput> ready) {
  Clean clean;
  const Tensor labels = label_ids(batch, classifier_.classes());
  clean.labels = labels;
  ClassifierOutput out;
  Tensor loss;
  if (update) {
    classifier_optimizer_.zero_grad();
    out = classifier_.forward(batch.images);
    loss = ops::mean(ops::cross_entropy(out.logits, labels));
    clean.loss = loss.detach();
    const double scale = scale_of(classifier_);
    backward_scaled(loss, scale);
    observe("clean");
    Tensor control = update_control({clean.loss});
    if (classifier_.inside() == DType::f16)
      clean.squares = require_finite(gradients_of(classifier_optimizer_.parameters()), control);
    classifier_optimizer_.step(scale == 1 ? control : rescaled(control, 1 / scale));
    classifier_optimizer_.zero_grad();
  } else {
    NoGrad no_grad;
    out = ready ? std::move(*ready)
                : (options_.fixed_classifier ? fixed_classifier() : classifier_).forward(batch.images);
    clean.loss = ops::mean(ops::cross_entropy(out.logits, labels));
  }
  clean.logits = out.logits.detach();
  clean.predicted = ops::argmax_ids(clean.logits);
  // What the masker does not read need not live through the masked passes.
  for (std::size_t i = 0; i < out.taps.size(); ++i) {
    const Tensor& tap = out.taps[i];
    clean.taps.push_back(masker_.reads_tap(i) ? tap.detach().to(wide_of_type(tap.dtype())) : Tensor());
  }
  return clean;
}

Tensor TrainStep::draw_areas(std::int64_t n, Rng& draws, const Tensor& like) const {
  if (!options_.add_prob_layers) return {};
  std::vector<double> p(static_cast<std::size_t>(n));
  for (double& v : p) v = draws.uniform(options_.prob_sample_low, options_.prob_sample_high);
  return Tensor::from(p, {n}).to(like.dtype()).to(like.device());
}

Tensor TrainStep::make_mask(const StepBatch& batch, const Clean& clean, const Tensor& p, Rng& draws) {
  MaskerInput input;
  input.taps = clean.taps;
  input.height = batch.images.size(1);
  input.width = batch.images.size(2);
  input.p = p;
  if (options_.add_class_ids) input.class_ids = clean.labels;
  return options_.fuse ? masker_.forward_coarse(input, &draws) : masker_.forward(input, &draws);
}

void TrainStep::masked_passes(const StepBatch& batch, const Clean& clean, const Tensor& mask, const Tensor& p,
                              Classifier& judge, Rng& draws, bool update, Ahead* ahead,
                              const std::function<void(std::vector<Side>)>& take) {
  PEN_CHECK(infilling_, "the options ask for infilling: use_infiller was not called");
  const auto masked = [&](MaskSide which) { return infilling_->apply(which, batch.images, mask, draws, update); };
  const auto side = [&](MaskSide which, const Tensor& logits) { return side_of(which, batch, clean, mask, p, logits); };
  if (judge.is_frozen() && criterion_in_ && criterion_out_) {
    Tensor logits;
    if (infilling_->wanted()) {
      const Tensor in = masked(MaskSide::in), out = masked(MaskSide::out);
      logits = judge.logits(ops::concat_batch({in, out}));
    } else if (ahead) {
      std::vector<bool> taps;
      for (std::size_t i = 0; i < judge.tap_widths().size(); ++i) taps.push_back(masker_.reads_tap(i));
      Classifier::MaskedAndClean seen = judge.masked_and_clean(batch.images, mask, ahead->images, taps);
      ahead->out = std::move(seen.clean);
      logits = seen.masked;
    } else {
      logits = judge.masked_logits(batch.images, mask);
    }
    const std::int64_t n = batch.images.size(0);
    take({side(MaskSide::in, ops::slice_batch(logits, 0, n)), side(MaskSide::out, ops::slice_batch(logits, n, n))});
    return;
  }
  if (criterion_in_) take({side(MaskSide::in, judge.logits(masked(MaskSide::in)))});
  if (criterion_out_) take({side(MaskSide::out, judge.logits(masked(MaskSide::out)))});
}

// What the criterion says about the classifier's view of one side of the mask.
TrainStep::Side TrainStep::side_of(MaskSide which, const StepBatch& batch, const Clean& clean, const Tensor& mask,
                                   const Tensor& p, const Tensor& logits) const {
  const bool in = which == MaskSide::in;
  const TrainOptions::Side& o = in ? options_.mask_in : options_.mask_out;
  Side side;
  side.prefix = in ? "masked_in___" : "masked_out___";
  const Tensor loss = ops::mean(ops::cross_entropy(logits, clean.labels));
  CriterionResult result =
      (in ? *criterion_in_ : *criterion_out_)({mask, logits, loss, batch.labels, clean.labels, clean.predicted,
                                               clean.logits, p, ops::mask_scale(batch.images, mask)});
  side.one_backward = (in ? *criterion_in_ : *criterion_out_).adds_to_masked_loss();
  side.classifier_loss = ops::affine(loss, o.weight, 0);
  side.masker_loss = ops::affine(result.total, o.weight, 0);
  side.loss = loss.detach();
  side.predicted = ops::argmax_ids(logits.detach());
  side.figures = std::move(result.logged);
  return side;
}

void TrainStep::log_sides(const std::vector<Side>& sides, const StepBatch& batch, LateLog& log) {
  std::vector<Tensor> classifier_losses, masker_losses;
  for (const Side& side : sides) {
    const std::string prefix = side.prefix;
    log.add_sum(prefix + "classifier_loss", {side.loss});
    log_accuracy(prefix + "acc", side.predicted, batch, log);
    for (const char* key : {"correct_on_masked", "mistaken_on_masked", "nontrivially_confused", "mask_reg"})
      if (const auto it = side.figures.find(key); it != side.figures.end()) log.add(prefix + key, it->second);
    classifier_losses.push_back(side.classifier_loss);
    masker_losses.push_back(side.masker_loss);
  }
  log.add_sum("masked_total___classifier_loss", classifier_losses);
  log.add_sum("masked_total___loss", masker_losses);
}

LateLog TrainStep::queue(const StepBatch& batch, std::int64_t step, Rng& draws, const StepBatch* next) {
  const bool ca = !options_.fixed_classifier;
  const ops::WinogradScope winograd(ca && options_.winograd);
  LateLog log(batch.images.device());
  std::optional<kernels::device::Recording> recording;
  if (options_.cuda_graph && unrecorded_ == 2)
    recording.emplace(batch.images.device());
  else if (options_.cuda_graph)
    ++unrecorded_;

  // 1. Clean pass. In CA the classifier learns from it, and may be kept for later.
  if (ca) classifier_.train();
  const Clean clean = clean_pass(batch, ca, take_ahead(batch.images));
  if (ca && step % options_.save_freq == 0) zoo_.store(classifier_, draws);
  log.add_sum("classifier_loss", {clean.loss});
  log_accuracy("acc", clean.predicted, batch, log);

  // 2. The mask. What follows reads a detached copy, whose gradient is then sent through the masker once.
  masker_.train();
  masker_optimizer_.zero_grad();
  const Tensor p = draw_areas(batch.images.size(0), draws, batch.images);
  const Tensor mask = make_mask(batch, clean, p, draws);
  Tensor seen = mask.detach();
  seen.set_requires_grad(true);
  log_mask(mask, ops::mask_scale(batch.images, mask), log);

  // 3. Whether the classifier also learns from the masked images, and which classifier looks at them.
  const bool skip = ca && draws.bernoulli(options_.prob_historic);
  const bool update = ca && !skip;
  Classifier* judge = ca ? &classifier_ : &fixed_classifier();
  if (skip && !zoo_.empty()) judge = &past_.with(zoo_.draw(draws), classifier_);

  // 4. Masked in and masked out: the masker's loss down to the mask, the classifier's loss down to its parameters. Both
  // gradients belong to the same weights. A graph is walked and freed before the next is built. Where the
  // masker's loss is the classifier's and a function of the mask (the published masked-in side), one walk gives both.
  const std::vector<NamedTensor> learned = classifier_.parameters();
  BackwardOptions to_mask{update, {seen}}, to_classifier;
  for (const NamedTensor& t : learned) to_classifier.only.push_back(t.tensor);
  BackwardOptions to_both = to_classifier;
  to_both.only.push_back(seen);
  const double scale = scale_of(*judge);
  std::vector<Side> sides;
  if (infilling_) infilling_->begin();
  std::optional<Ahead> ahead;
  if (next && next->images.size(1) == batch.images.size(1) && next->images.size(2) == batch.images.size(2) &&
      reads_next())
    ahead = Ahead{next->images, next->images.version(), {}};
  masked_passes(batch, clean, seen, p, *judge, draws, true, ahead ? &*ahead : nullptr, [&](std::vector<Side> taken) {
    Tensor loss = taken[0].masker_loss;
    for (std::size_t i = 1; i < taken.size(); ++i) loss = ops::add(loss, taken[i].masker_loss);
    const bool both = update && taken.size() == 1 && taken[0].one_backward;
    backward_scaled(loss, scale, both ? to_both : to_mask);
    for (Side& side : taken) {
      if (update && !both) backward_scaled(side.classifier_loss, scale, to_classifier);
      // The graph goes with its losses' history.
      side.masker_loss = side.masker_loss.detach();
      side.classifier_loss = side.classifier_loss.detach();
      sides.push_back(std::move(side));
    }
  });
  log_sides(sides, batch, log);

  // 5. Updates, all or none.
  if (update) observe("masked");
  const Tensor to_masker = scale == 1 ? seen.grad() : ops::affine(seen.grad(), 1 / scale, 0);
  if (mask_observer) mask_observer(seen.detach(), to_masker);
  std::vector<Tensor> losses{clean.loss};
  for (const Side& side : sides) losses.insert(losses.end(), {side.masker_loss, side.classifier_loss});
  for (const Tensor& loss : infilling_->losses()) losses.push_back(loss);
  if (clean.squares.defined()) losses.push_back(clean.squares);
  Tensor control = update_control(losses);
  // What overflowed inside a classifier in fp16 has left it as an infinity or a NaN, to the mask or, where a ReLU was
  // closed on the way, to the weights alone: no update, and no harm.
  if (options_.precision == "fp16") {
    std::vector<Tensor> gradients{to_masker};
    if (update)
      for (Tensor& g : gradients_of(classifier_optimizer_.parameters())) gradients.push_back(std::move(g));
    std::vector<Tensor> sums{require_finite(gradients, control)};
    if (clean.squares.defined()) sums.push_back(clean.squares);
    log_overflow(sums, log);
  }
  infilling_->finish(control, log);
  if (update) classifier_optimizer_.step(scale == 1 ? control : rescaled(control, 1 / scale));
  backward(mask, to_masker);
  observe("masker");
  masker_optimizer_.step(clipped(control, masker_optimizer_.parameters(), options_.clip_norm));
  log.send();
  if (recording) recording->finish();
  ahead_ = std::move(ahead);  // now that nothing can keep it from being computed
  return log;
}

StepLog TrainStep::validate(const StepBatch& batch, Rng& draws) {
  NoGrad no_grad;
  const ops::WinogradScope winograd(!options_.fixed_classifier && options_.winograd);
  const ModeScope classifier_mode(classifier_, false), masker_mode(masker_, false);
  LateLog log(batch.images.device());
  const Clean clean = clean_pass(batch, false);
  log.add_sum("classifier_loss", {clean.loss});
  log_accuracy("acc", clean.predicted, batch, log);
  const Tensor p = draw_areas(batch.images.size(0), draws, batch.images);
  const Tensor mask = make_mask(batch, clean, p, draws);
  log_mask(mask, ops::mask_scale(batch.images, mask), log);
  std::vector<Side> sides;
  Classifier& judge = options_.fixed_classifier ? fixed_classifier() : classifier_;
  masked_passes(batch, clean, mask, p, judge, draws, false, nullptr, [&](std::vector<Side> taken) {
    for (Side& side : taken) sides.push_back(std::move(side));
  });
  log_sides(sides, batch, log);
  log.send();
  return log.read();
}

}  // namespace pen
