#include "layers/frozen.h"

#include "layers/frozen_plan.h"

namespace pen {

using ops::empty_like;
using ops::empty_with;

namespace {

// For each image 0 times the sum of its values: 0 if all are finite, else NaN. The fused ReLUs may swallow a NaN; spoil
// adds it to the image's logits.
Tensor not_finite(const Tensor& x) {
  const std::int64_t n = x.size(0), each = n ? x.numel() / n : 0;
  Tensor sums = empty_with(x, {n});
  dispatch(x.dtype(), "frozen network", [&]<class T>() {
    kernels::sum_columns(context(x.device()), n, each, 0.0, x.data<T>(), nullptr, sums.mutable_data<T>());
  });
  return sums;
}
void spoil(const Tensor& sums, Tensor& logits) {
  dispatch(logits.dtype(), "frozen network", [&]<class T>() {
    const kernels::Context ctx = context(logits.device());
    Tensor rows = empty_like(logits);
    kernels::spread_middle(ctx, logits.size(0), logits.size(1), 1, 1.0, sums.data<T>(), rows.mutable_data<T>());
    T* const y = logits.mutable_data<T>();
    kernels::add_scaled(ctx, logits.numel(), 1.0, y, 1.0, rows.data<T>(), y);
  });
}

}  // namespace

FrozenNetwork::FrozenNetwork(FrozenSteps list, const FreezeOptions& options)
    : plan_(std::make_shared<const FrozenPlan>(std::move(list), options)) {}

FrozenNetwork::Output FrozenNetwork::forward(const Tensor& x, bool want_taps) const {
  const bool recorded = needs_grad({&x});
  const auto pass = recorded ? std::make_shared<Pass>() : nullptr;
  const Tensor broken = not_finite(x);
  Output result;
  result.logits = frozen_forward(*plan_, x.detach(), want_taps ? &result.taps : nullptr, pass.get());
  spoil(broken, result.logits);
  if (recorded)
    record("frozen network", result.logits, {x}, [plan = plan_, pass](Backward& call) {
      if (call.wants(0)) call.set(0, frozen_backward(*plan, *pass, std::move(call.dy())));
    });
  return result;
}

Tensor FrozenNetwork::masked_logits(const Tensor& images, const Tensor& mask) const {
  const kernels::MaskCells cells = ops::mask_cells("masked_logits", images, mask);
  const std::int64_t n = images.size(0), c = images.size(3);
  PEN_CHECK(!needs_grad({&images}), "masked_logits: the images have no gradient here; mask them apart");
  Tensor both = empty_with(images, {2 * n, images.size(1), images.size(2), c});
  dispatch(images.dtype(), "masked_logits", [&]<class T>() {
    const kernels::Context ctx = context(images.device());
    const T *const x = images.data<T>(), *const m = mask.data<T>();
    T* const y = both.mutable_data<T>();
    kernels::mask_mix_fwd(ctx, cells, c, kernels::Side::in, x, m, nullptr, y);
    kernels::mask_mix_fwd(ctx, cells, c, kernels::Side::out, x, m, nullptr, y + images.numel());
  });
  const bool recorded = needs_grad({&mask});
  const auto pass = recorded ? std::make_shared<Pass>() : nullptr;
  const Tensor broken = not_finite(both);
  Tensor logits = frozen_forward(*plan_, std::move(both), nullptr, pass.get());
  spoil(broken, logits);
  if (recorded)
    record("masked_logits", logits, {mask},
           [plan = plan_, pass, saved = Saved(images), shape = mask.shape()](Backward& call) {
             call.set(0,
                      frozen_backward_to_mask(*plan, *pass, std::move(call.dy()), saved.get("masked_logits"), shape));
           });
  return logits;
}

}  // namespace pen
