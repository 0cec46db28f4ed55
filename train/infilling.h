// Infilling in a training step: what the classifier sees instead of removed pixels, and the infiller's own training.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "models/infiller.h"
#include "train/late_log.h"
#include "train/optim.h"
#include "train/options.h"

namespace pen {

class Infilling {
 public:
  // `infiller` may be null where the options ask for none. With an optimizer the infiller is trained: on each side that
  // is infilled, from its own loss (infiller_loss), on masks as they are.
  Infilling(const TrainOptions& options, Infiller* infiller, Optimizer* optimizer);

  bool wanted() const { return in_ || out_; }  // of any side

  // What the classifier sees of one side: masked, and infilled where the options say so. The mask may be coarser than
  // the images (ops::mask_in); the infiller gets it at their size. No gradient reaches the
  // infiller or, through the generated image, the mask. `update`: within a training step.
  Tensor apply(MaskSide side, const Tensor& images, const Tensor& mask, Rng& draws, bool update);

  // Around the sides of a training step: clears what was gathered; then one Adam step on the sum over the sides, by
  // control (update_control), and infiller_loss, infiller_hole, infiller_valid (means over the sides) for the log, if
  // the infiller learns.
  void begin();
  std::vector<Tensor> losses() const;
  void finish(const Tensor& control, LateLog& log);

 private:
  bool wanted(MaskSide side) const { return side == MaskSide::in ? in_ : out_; }
  bool in_, out_;
  Infiller* infiller_;
  Optimizer* optimizer_;
  std::vector<InfillerLoss> sides_;
};

}  // namespace pen
