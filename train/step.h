// THE training step: FIX and CA, as spec'd by Phang, Park, Geras 2020 (section 3, algorithm of the reference).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "layers/losses.h"
#include "models/classifier.h"
#include "models/masker.h"
#include "train/infilling.h"
#include "train/late_log.h"
#include "train/optim.h"
#include "train/options.h"
#include "train/past_classifier.h"
#include "train/zoo.h"

namespace pen {

struct StepBatch {
  Tensor images;                     // (N,S,S,3) normalised, on the device
  std::vector<std::int64_t> labels;  // (N), classes of the classifier
};

// The labels (N, int64) beside the images: one copy for a whole step. A label that is none of the classes: an Error.
Tensor label_ids(const StepBatch& batch, std::int64_t classes);

// backward() from this many times the loss.
void backward_scaled(const Tensor& loss, double scale, const BackwardOptions& options = {});

class TrainStep {
 public:
  // References must outlive the step. With options.fixed_classifier the classifier is frozen here; without, a float32
  // one takes the process's type for what is inside of classifiers (ComputePolicy).
  TrainStep(const TrainOptions& options, Classifier& classifier, Masker& masker, Optimizer& classifier_optimizer,
            Optimizer& masker_optimizer);
  // With options that ask for infilling, before the first step. With an optimizer the infiller learns. Both outlive the
  // step.
  void use_infiller(Infiller& infiller, Optimizer* optimizer);

  // One update of the masker (and, in CA, of the classifier). `draws` gives target areas, Gumbel noise and zoo draws:
  // its position is the whole random state. The log is in the order of the reference's. On a GPU the step is queued,
  // and nobody waits before the log is read. A loss that is not finite is in the log, and no update of the step that
  // knows of it changes weights or moments: the masker's and the infiller's never, the classifier's on masked images
  // neither. In CA the classifier has by then learned from the clean pass, if that pass's own loss was finite. Running
  // statistics of norms in training, and counts of steps, move in any case. next: the batch that the step after this
  // one will most likely be given. Where a frozen classifier looks at both masked sides at once (see reads_next), its
  // clean pass joins theirs, and is there when queue() is called with those very images, unchanged. Any other batch
  // drops it and has a clean pass of its own, as without `next`: on the CPU equal to the bit; a GPU's library may round
  // otherwise in a larger batch.
  //
  // With options.cuda_graph every step but the first two, which load most kernels and choose most plans, is recorded
  // and sent to the GPU as a graph (kernels::device::Recording); what waits on the way (a look of an observer, an
  // earlier classifier that is folded) cuts it into parts.
  LateLog queue(const StepBatch& batch, std::int64_t step, Rng& draws, const StepBatch* next = nullptr);
  StepLog train(const StepBatch& batch, std::int64_t step, Rng& draws, const StepBatch* next = nullptr) {
    return queue(batch, step, draws, next).read();
  }
  // Whether queue() has a use for the next batch.
  bool reads_next();
  // The same quantities without any update: both networks in evaluation mode.
  StepLog validate(const StepBatch& batch, Rng& draws);

  Zoo& zoo() { return zoo_; }
  // Called with "clean", "masked" once the classifier's gradients of that pass are complete, and "masker" before the
  // masker's update: for tests and for people who study gradients. A classifier that learns in fp16 has loss_scale
  // times its gradients until the update divides them.
  std::function<void(const char* stage)> observer;
  // Called with the mask and the gradient of the masker's loss with respect to it, before it goes through the masker.
  // With options.fuse both are coarse (Masker::forward_coarse): (N,56,56,1) for images of 224 and a ResNet, a value of
  // the gradient being the sum over the 4x4 pixels that the mask's value stands for.
  std::function<void(const Tensor& mask, const Tensor& gradient)> mask_observer;

 private:
  struct Clean;
  struct Side;
  // What the frozen classifier said of images that the next step may be given.
  struct Ahead {
    Tensor images;          // held, so that nothing else takes their place
    std::uint64_t version;  // of their elements
    ClassifierOutput out;
  };
  std::optional<ClassifierOutput> take_ahead(const Tensor& images);
  // ready: what the classifier says of the images, if that is known; only without an update.
  Clean clean_pass(const StepBatch& batch, bool update, std::optional<ClassifierOutput> ready = std::nullopt);
  // (N,S,S,1), or coarser by a whole factor, which ops::mask_scale finds again beside the images.
  Tensor make_mask(const StepBatch& batch, const Clean& clean, const Tensor& p, Rng& draws);
  // The sides that have a criterion, each handed to `take` (masked in first) as soon as it is there. Of a frozen judge
  // both are one batch; of another the second is made when the first has been taken, and its memory is free again.
  // ahead: images that the frozen judge looks at in the same pass, and where its answer goes; null: none.
  void masked_passes(const StepBatch& batch, const Clean& clean, const Tensor& mask, const Tensor& p, Classifier& judge,
                     Rng& draws, bool update, Ahead* ahead, const std::function<void(std::vector<Side>)>& take);
  Side side_of(MaskSide which, const StepBatch& batch, const Clean& clean, const Tensor& mask, const Tensor& p,
               const Tensor& logits) const;
  // What the sides and their sums say.
  static void log_sides(const std::vector<Side>& sides, const StepBatch& batch, LateLog& log);
  // Who looks at images while the classifier is fixed: its frozen form, made at the first step.
  Classifier& fixed_classifier();
  // What a loss is multiplied by before it goes back through this classifier: a power of two in fp16, else 1.
  double scale_of(const Classifier& judge) const;
  Tensor draw_areas(std::int64_t n, Rng& draws, const Tensor& like) const;
  void observe(const char* stage) const {
    if (observer) observer(stage);
  }

  const TrainOptions options_;
  int unrecorded_ = 0;  // steps so far that were not recorded
  Classifier& classifier_;
  Masker& masker_;
  Optimizer& classifier_optimizer_;
  Optimizer& masker_optimizer_;
  std::unique_ptr<Criterion> criterion_in_, criterion_out_;
  std::optional<Infilling> infilling_;  // set where the options ask for none, or once the infiller is there
  Zoo zoo_;
  std::unique_ptr<Classifier> frozen_;  // of the fixed classifier
  std::optional<Ahead> ahead_;
  PastClassifier past_;  // of the states drawn from the zoo
};

// Percentage of rows whose largest logit is the label's.
double accuracy(const std::vector<std::int64_t>& predicted, const std::vector<std::int64_t>& labels);

}  // namespace pen
