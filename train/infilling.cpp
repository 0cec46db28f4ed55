#include "train/infilling.h"

#include <cmath>

#include "base/check.h"
#include "tensor/autograd.h"

namespace pen {

Infilling::Infilling(const TrainOptions& options, Infiller* infiller, Optimizer* optimizer)
    : in_(options.do_infill_for_mask_in),
      out_(options.do_infill_for_mask_out),
      infiller_(infiller),
      optimizer_(optimizer) {
  PEN_CHECK(infiller || !(in_ || out_), "infilling is asked for and there is no infiller");
  PEN_CHECK(!optimizer || infiller, "an infiller's optimizer without an infiller");
  if (infiller) infiller->set_requires_grad(optimizer != nullptr);
}

Tensor Infilling::apply(MaskSide side, const Tensor& images, const Tensor& mask, Rng& draws, bool update) {
  const bool in = side == MaskSide::in;
  if (!wanted(side)) return in ? ops::mask_in(images, mask) : ops::mask_out(images, mask);
  const InfillerInput input{images, mask.detach(), side};
  Tensor generated;
  if (update && optimizer_) {
    infiller_->train();
    generated = infiller_->generate(input, &draws);
    const InfillerLoss loss = infiller_loss(input, generated);
    backward(loss.total);
    total_ += loss.total.item();
    hole_ += loss.hole.item();
    valid_ += loss.valid.item();
    ++sides_;
  } else {
    const NoGrad no_grad;
    infiller_->eval();
    generated = infiller_->generate(input, &draws);
  }
  return infilled({images, mask, side}, generated.detach());
}

void Infilling::begin() {
  if (optimizer_) optimizer_->zero_grad();
  total_ = hole_ = valid_ = 0;
  sides_ = 0;
}

bool Infilling::finite() const { return std::isfinite(total_); }

std::vector<std::pair<std::string, double>> Infilling::finish(bool update) {
  if (!optimizer_ || sides_ == 0) return {};
  if (update) optimizer_->step();
  optimizer_->zero_grad();
  const double n = sides_;
  return {{"infiller_loss", total_ / n}, {"infiller_hole", hole_ / n}, {"infiller_valid", valid_ / n}};
}

}  // namespace pen
