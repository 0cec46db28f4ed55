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

namespace {

// Logits of 2 N masked images, with history, and of `clean` (undefined: none), a window of the same tensor.
Tensor masked_pass(const std::shared_ptr<const FrozenPlan>& plan, const Tensor& images, const Tensor& mask,
                   const Tensor& clean, const std::vector<bool>& wanted, FrozenNetwork::Output* of_clean) {
  const kernels::MaskCells cells = ops::mask_cells("masked_logits", images, mask);
  const std::int64_t n = images.size(0), c = images.size(3);
  PEN_CHECK(!needs_grad({&images}), "masked_logits: the images have no gradient here; mask them apart");
  const std::int64_t along = clean.defined() ? clean.size(0) : 0;
  Tensor all = empty_with(images, {2 * n + along, images.size(1), images.size(2), c});
  dispatch(images.dtype(), "masked_logits", [&]<class T>() {
    const kernels::Context ctx = context(images.device());
    const T *const x = images.data<T>(), *const m = mask.data<T>();
    T* const y = all.mutable_data<T>();
    kernels::mask_mix_fwd(ctx, cells, c, kernels::Side::in, x, m, nullptr, y);
    kernels::mask_mix_fwd(ctx, cells, c, kernels::Side::out, x, m, nullptr, y + images.numel());
  });
  if (along > 0) all.window(2 * n, along).copy_from(clean);
  const bool recorded = needs_grad({&mask});
  const auto pass = recorded ? std::make_shared<Pass>() : nullptr;
  const Tensor broken = not_finite(all);
  Tensor logits =
      frozen_forward(*plan, std::move(all), of_clean ? &of_clean->taps : nullptr, pass.get(), {along, wanted});
  spoil(broken, logits);
  if (of_clean) {
    of_clean->logits = logits.window(2 * n, along);
    logits = logits.window(0, 2 * n);
  }
  if (recorded)
    record("masked_logits", logits, {mask}, [plan, pass, saved = Saved(images), shape = mask.shape()](Backward& call) {
      call.set(0, frozen_backward_to_mask(*plan, *pass, std::move(call.dy()), saved.get("masked_logits"), shape));
    });
  return logits;
}

}  // namespace

Tensor FrozenNetwork::masked_logits(const Tensor& images, const Tensor& mask) const {
  return masked_pass(plan_, images, mask, {}, {}, nullptr);
}

FrozenNetwork::MaskedAndClean FrozenNetwork::masked_and_clean(const Tensor& images, const Tensor& mask,
                                                              const Tensor& clean,
                                                              const std::vector<bool>& taps) const {
  ops::check_dims("masked_and_clean", "clean", clean, 4);
  PEN_CHECK(Shape(clean.shape().begin() + 1, clean.shape().end()) ==
                    Shape(images.shape().begin() + 1, images.shape().end()) &&
                clean.dtype() == images.dtype() && !needs_grad({&clean}),
            "masked_and_clean: clean images ", to_string(clean.shape()), " ", name_of(clean.dtype()), " beside ",
            to_string(images.shape()), " ", name_of(images.dtype()), "; they have its size and type and no gradient");
  MaskedAndClean result;
  if (images.device().is_cuda() && clean.size(0) > 0) {
    result.masked = masked_pass(plan_, images, mask, clean, taps, &result.clean);
    return result;
  }
  result.masked = masked_logits(images, mask);
  result.clean = forward(clean, true);
  for (std::size_t k = 0; k < result.clean.taps.size(); ++k)
    if (k >= taps.size() || !taps[k]) result.clean.taps[k] = {};
  return result;
}

}  // namespace pen
