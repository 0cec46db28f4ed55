// Convolution on oneDNN, and where our own loops take its place.
#include "kernels/cpu/conv_phases.h"
#include "kernels/cpu/conv_plan.h"
#include "kernels/cpu/conv_pointwise.h"
#include "kernels/cpu/conv_product_weight.h"
#include "kernels/cpu/conv_single.h"
#include "kernels/cpu/conv_winograd.h"
#include "kernels/kernels.h"

namespace pen::kernels::cpu {
namespace {

using dnnl::memory;

const ConvPlan& forward_plan(const Conv2d& d, bool bias) {
  thread_local PrimitiveCache<ConvPlan> cache;
  return cache.get(key_of(d, ConvOperation::forward, bias), [&] {
    return forward_plan_of(forward_description(d, bias, dnnl::prop_kind::forward_inference), d);
  });
}

// `type` is that of x and dy; the gradient is of float32 always.
const ConvPlan& weight_plan(const Conv2d& d, DType type) {
  thread_local PrimitiveCache<ConvPlan> cache;
  return cache.get(key_of(d, ConvOperation::weight, 0, type), [&] {
    const ConvDescriptions o = describe(d, type), wide = describe(d);
    const auto hint = forward_description(d, false, dnnl::prop_kind::forward_training, {}, type);
    const dnnl::convolution_backward_weights::primitive_desc pd(
        {dnnl::algorithm::convolution_direct, o.x, wide.w_any, o.y, o.strides, o.dilates, o.pad_low, o.pad_high},
        conv_attributes(), dnnl_engine(), hint);
    ConvPlan plan{dnnl::convolution_backward_weights(pd),
                  pd.src_desc(),
                  pd.diff_dst_desc(),
                  pd.diff_weights_desc(),
                  wide.w_plain,
                  o.b,
                  pd.scratchpad_desc(),
                  {},
                  {},
                  {}};
    plan.reorders();
    if (plan.packed && !plan.blocks)
      plan.unpack = dnnl::reorder(dnnl::reorder::primitive_desc(dnnl_engine(), plan.w, dnnl_engine(), plan.w_plain));
    return plan;
  });
}

bool empty(const Conv2d& d) { return d.n == 0; }

}  // namespace

void conv2d_fwd(const Context& ctx, const Conv2d& d, const float* x, const float* w, const float* b, float* y) {
  if (empty(d)) return;
  if (winograd_suits(d) || pointwise_suits(d))
    return cpu::conv2d_fused_fwd(ctx, d, x, w, b, nullptr, false, y, nullptr);
  if (single_suits(d)) return single_forward(d, x, w, b, y);
  guarded("conv2d_fwd", [&] {
    const ConvPlan& plan = forward_plan(d, b != nullptr);
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC, wrap(plan.x, x)},
        {DNNL_ARG_WEIGHTS, wrap(plan.w, packed_weights(plan, name_of(d), [&] { return w; }))},
        {DNNL_ARG_DST, wrap(plan.y, y)},
        {DNNL_ARG_SCRATCHPAD, scratchpad_of(plan)}};
    if (b) arguments.emplace(DNNL_ARG_BIAS, wrap(plan.b, b));
    plan.primitive.execute(dnnl_stream(), arguments);
  });
}

void conv2d_bwd_data(const Context& ctx, const Conv2d& d, const float* dy, const float* w, float* dx) {
  if (empty(d)) return;
  // Where the forward convolution runs in our loops, so does its transpose.
  if (winograd_suits(d) || pointwise_suits(d)) return cpu::conv2d_fused_bwd_data(ctx, d, dy, w, nullptr, nullptr, dx);
  guarded("conv2d_bwd_data", [&] {
    if (phases_suit(d)) return data_gradient_by_phases(d, dy, w, dx);
    const ConvPlan& plan = data_plan(d);
    plan.primitive.execute(dnnl_stream(),
                           {{DNNL_ARG_DIFF_DST, wrap(plan.y, dy)},
                            {DNNL_ARG_WEIGHTS, wrap(plan.w, packed_weights(plan, name_of(d), [&] { return w; }))},
                            {DNNL_ARG_DIFF_SRC, wrap(plan.x, dx)},
                            {DNNL_ARG_SCRATCHPAD, scratchpad_of(plan)}});
  });
}

namespace {

std::int64_t size_of_w(const Conv2d& d) { return d.k * (d.c / d.groups) * d.r * d.s; }

void weight_gradient_by_library(const Context& ctx, const Conv2d& d, DType type, const void* x, const void* dy,
                                float* dw, Accum accum) {
  const ConvPlan& plan = weight_plan(d, type);
  const bool direct = !plan.packed && accum == Accum::write;
  void* to = direct ? dw : scratch(plan.w.get_size(), 1);
  plan.primitive.execute(dnnl_stream(), {{DNNL_ARG_SRC, wrap(plan.x, x)},
                                         {DNNL_ARG_DIFF_DST, wrap(plan.y, dy)},
                                         {DNNL_ARG_DIFF_WEIGHTS, wrap(plan.w, to)},
                                         {DNNL_ARG_SCRATCHPAD, scratchpad_of(plan)}});
  if (direct) return;
  if (plan.blocks) return unpack_weights(*plan.blocks, static_cast<const float*>(to), accum, dw);
  const float* plain = static_cast<const float*>(to);
  if (plan.packed) {
    float* unpacked = accum == Accum::write ? dw : static_cast<float*>(scratch(plan.w_plain.get_size(), 2));
    plan.unpack.execute(dnnl_stream(),
                        {{DNNL_ARG_FROM, wrap(plan.w, to)}, {DNNL_ARG_TO, wrap(plan.w_plain, unpacked)}});
    plain = unpacked;
  }
  if (accum == Accum::add) cpu::add_scaled(ctx, size_of_w(d), 1.0, plain, 1.0, dw, dw);
}

}  // namespace

void conv2d_bwd_weight(const Context& ctx, const Conv2d& d, const float* x, const float* dy, float* dw, Accum accum) {
  if (empty(d)) {
    if (accum == Accum::write) cpu::fill(ctx, size_of_w(d), 0.0, dw);
    return;
  }
  if (single_suits(d)) return single_weight_gradient(d, x, dy, accum, dw);
  if (winograd_suits(d)) return winograd_weight_gradient(d, x, dy, accum, dw);
  if (product_weight_suits(d)) return product_weight_gradient(d, x, dy, accum, dw);
  guarded("conv2d_bwd_weight", [&] { weight_gradient_by_library(ctx, d, DType::f32, x, dy, dw, accum); });
}

void conv2d_bwd_weight(const Context& ctx, const Conv2d& d, const bf16* x, const bf16* dy, float* dw, Accum accum) {
  if (empty(d)) {
    if (accum == Accum::write) cpu::fill(ctx, size_of_w(d), 0.0, dw);
    return;
  }
  guarded("conv2d_bwd_weight", [&] { weight_gradient_by_library(ctx, d, DType::bf16, x, dy, dw, accum); });
}

// oneDNN 2.6 has no f16 on x86: a float gradient of what is made wider, which is exact.
void conv2d_bwd_weight(const Context& ctx, const Conv2d& d, const f16* x, const f16* dy, float* dw, Accum accum) {
  const auto as_float = [&](std::int64_t n, const f16* from, int slot) {
    auto* const to = static_cast<float*>(scratch(static_cast<std::size_t>(n) * sizeof(float), slot));
    cpu::widen(ctx, n, from, to);
    return to;
  };
  cpu::conv2d_bwd_weight(ctx, d, as_float(d.n * d.h * d.w * d.c, x, 4), as_float(d.n * d.p * d.q * d.k, dy, 5), dw,
                         accum);
}

// Double is for checks: it runs the plain loops.
void conv2d_fwd(const Context& ctx, const Conv2d& d, const double* x, const double* w, const double* b, double* y) {
  ref::conv2d_fwd(ctx, d, x, w, b, y);
}
void conv2d_bwd_data(const Context& ctx, const Conv2d& d, const double* dy, const double* w, double* dx) {
  ref::conv2d_bwd_data(ctx, d, dy, w, dx);
}
void conv2d_bwd_weight(const Context& ctx, const Conv2d& d, const double* x, const double* dy, double* dw,
                       Accum accum) {
  ref::conv2d_bwd_weight(ctx, d, x, dy, dw, accum);
}

}  // namespace pen::kernels::cpu
