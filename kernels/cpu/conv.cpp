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

const ConvPlan& weight_plan(const Conv2d& d) {
  thread_local PrimitiveCache<ConvPlan> cache;
  return cache.get(key_of(d, ConvOperation::weight, 0), [&] {
    const ConvDescriptions o = describe(d);
    const auto hint = forward_description(d, false, dnnl::prop_kind::forward_training);
    const dnnl::convolution_backward_weights::primitive_desc pd(
        {dnnl::algorithm::convolution_direct, o.x, o.w_any, o.y, o.strides, o.dilates, o.pad_low, o.pad_high},
        conv_attributes(), dnnl_engine(), hint);
    ConvPlan plan{dnnl::convolution_backward_weights(pd),
                  pd.src_desc(),
                  pd.diff_dst_desc(),
                  pd.diff_weights_desc(),
                  o.w_plain,
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

void conv2d_bwd_weight(const Context& ctx, const Conv2d& d, const float* x, const float* dy, float* dw, Accum accum) {
  const std::int64_t size = d.k * (d.c / d.groups) * d.r * d.s;
  if (empty(d)) {
    if (accum == Accum::write) cpu::fill(ctx, size, 0.0, dw);
    return;
  }
  if (single_suits(d)) return single_weight_gradient(d, x, dy, accum, dw);
  if (winograd_suits(d)) return winograd_weight_gradient(d, x, dy, accum, dw);
  if (product_weight_suits(d)) return product_weight_gradient(d, x, dy, accum, dw);
  guarded("conv2d_bwd_weight", [&] {
    const ConvPlan& plan = weight_plan(d);
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
    if (accum == Accum::add) cpu::add_scaled(ctx, size, 1.0, plain, 1.0, dw, dw);
  });
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
