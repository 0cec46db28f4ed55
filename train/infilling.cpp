#include "train/infilling.h"

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
  // An infiller wants the mask at the image's size.
  const bool coarse = ops::mask_scale(images, mask) > 1;
  const Tensor seen = mask.detach();
  const InfillerInput input{images, coarse ? ops::resize_nearest(seen, images.size(1), images.size(2)) : seen, side};
  Tensor generated;
  if (update && optimizer_) {
    infiller_->train();
    generated = infiller_->generate(input, &draws);
    const InfillerLoss loss = infiller_loss(input, generated);
    backward(loss.total);
    sides_.push_back({loss.total.detach(), loss.hole.detach(), loss.valid.detach()});
  } else {
    const NoGrad no_grad;
    infiller_->eval();
    generated = infiller_->generate(input, &draws);
  }
  return infilled({images, mask, side}, generated.detach());
}

void Infilling::begin() {
  if (optimizer_) optimizer_->zero_grad();
  sides_.clear();
}

std::vector<Tensor> Infilling::losses() const {
  std::vector<Tensor> out;
  for (const InfillerLoss& side : sides_) out.push_back(side.total);
  return out;
}

void Infilling::finish(const Tensor& control, LateLog& log) {
  if (!optimizer_ || sides_.empty()) return;
  optimizer_->step(control);
  optimizer_->zero_grad();
  const auto add = [&](const char* name, Tensor InfillerLoss::*part) {
    std::vector<Tensor> parts;
    for (const InfillerLoss& side : sides_) parts.push_back(side.*part);
    log.add(name, parts, [](const LateLog::Elements& e) {
      double sum = 0;
      for (const auto& side : e) sum += side[0];
      return sum / static_cast<double>(e.size());
    });
  };
  add("infiller_loss", &InfillerLoss::total);
  add("infiller_hole", &InfillerLoss::hole);
  add("infiller_valid", &InfillerLoss::valid);
}

}  // namespace pen
