// Convolutions of frozen networks on oneDNN: bias, residual, ReLU and the ReLU's gate as post-operations. oneDNN has
// those on the forward pass only, so a data gradient of stride 1 runs as the forward convolution that it is, with
// transposed and rotated weights; the others are oneDNN's own, followed by one pass over the result.
#include <algorithm>
#include <vector>

#include "base/parallel.h"
#include "kernels/cpu/bits.h"
#include "kernels/cpu/conv_plan.h"
#include "kernels/cpu/conv_winograd.h"
#include "kernels/kernels.h"

namespace pen::kernels::cpu {
namespace {

using dnnl::memory;

// What follows the sums of a convolution.
struct After {
  enum Residual : std::uint8_t { none, in_place, separate } residual = none;
  enum Last : std::uint8_t { nothing, relu, gate } last = nothing;
};

const ConvPlan& fused_plan(const Conv2d& d, bool bias, After after) {
  thread_local PrimitiveCache<ConvPlan> cache;
  const std::int64_t variant = bias | after.residual << 1 | after.last << 3;
  return cache.get(key_of(d, ConvOperation::fused, variant), [&] {
    const memory::desc y = describe(d).y;
    dnnl::post_ops ops;
    if (after.residual == After::in_place) ops.append_sum(1.0f);
    if (after.residual == After::separate) ops.append_binary(dnnl::algorithm::binary_add, y);
    if (after.last == After::relu) ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
    if (after.last == After::gate)
      ops.append_binary(dnnl::algorithm::binary_mul, {y.dims(), memory::data_type::u8, memory::format_tag::nhwc});
    return forward_plan_of(forward_description(d, bias, dnnl::prop_kind::forward_inference, ops), d);
  });
}

After::Residual kind_of(const float* residual, const float* y) {
  return !residual ? After::none : residual == y ? After::in_place : After::separate;
}

// y = after(x * w + b); open is read by After::gate.
void run(const Conv2d& d, After after, const float* x, const void* w, const ConvPlan& plan, const float* b,
         const float* residual, const std::uint8_t* open, float* y) {
  std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, wrap(plan.x, x)},
                                            {DNNL_ARG_WEIGHTS, wrap(plan.w, w)},
                                            {DNNL_ARG_DST, wrap(plan.y, y)},
                                            {DNNL_ARG_SCRATCHPAD, scratchpad_of(plan)}};
  if (b) arguments.emplace(DNNL_ARG_BIAS, wrap(plan.b, b));
  int at = after.residual == After::none ? 0 : 1;
  if (after.residual == After::separate)
    arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, wrap(plan.y, residual));
  if (after.last == After::gate)
    arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(at) | DNNL_ARG_SRC_1,
                      wrap({{d.n, d.k, d.p, d.q}, memory::data_type::u8, memory::format_tag::nhwc},
                           bytes_of_bits(d.n * d.k * d.p * d.q, open)));
  plan.primitive.execute(dnnl_stream(), arguments);
}

// The forward convolution that is the data gradient of `d`: from dy to dx.
Conv2d transposed(const Conv2d& d) {
  Conv2d t{};
  t.n = d.n, t.h = d.p, t.w = d.q, t.c = d.k;
  t.p = d.h, t.q = d.w, t.k = d.c;
  t.r = d.r, t.s = d.s, t.dilation = d.dilation;
  t.pad = static_cast<int>(d.dilation * (d.r - 1)) - d.pad;
  t.winograd = d.winograd;
  return t;
}

// Conv2d has one padding for both axes, and ours never cuts.
bool runs_transposed(const Conv2d& d) {
  return d.stride == 1 && d.groups == 1 && d.r == d.s && d.dilation * (d.r - 1) >= d.pad;
}

// (K,C,R,S) -> (C,K,R,S), rotated by half a turn.
std::vector<float> transposed_weights(const Conv2d& d, const float* w) {
  const std::int64_t area = d.r * d.s;
  std::vector<float> out(static_cast<std::size_t>(d.k * d.c * area));
  parallel_for(d.c, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c)
      for (std::int64_t k = 0; k < d.k; ++k)
        for (std::int64_t i = 0; i < area; ++i)
          out[static_cast<std::size_t>((c * d.k + k) * area + i)] = w[(k * d.c + c) * area + area - 1 - i];
  });
  return out;
}

}  // namespace

void conv2d_fused_fwd(const Context&, const Conv2d& d, const float* x, const float* w, const float* b,
                      const float* residual, bool relu, float* y, std::uint8_t* positive) {
  if (d.n == 0) return;
  bool done = false;
  guarded("conv2d_fused_fwd", [&] {
    if ((done = winograd_suits(d)))
      return winograd(
          d, x, d.weight_key, [&] { return w; }, b, {residual, relu, nullptr, positive}, y);
    const After after{kind_of(residual, y), relu ? After::relu : After::nothing};
    const ConvPlan& plan = fused_plan(d, b != nullptr, after);
    run(d, after, x, packed_weights(plan, d.weight_key, [&] { return w; }), plan, b, residual, nullptr, y);
  });
  if (positive && !done) pack_positive(d.n * d.p * d.q * d.k, y, positive);
}

void conv2d_fused_bwd_data(const Context& ctx, const Conv2d& d, const float* dy, const float* w, const float* residual,
                           const std::uint8_t* open, float* dx) {
  if (d.n == 0) return;
  if (runs_transposed(d)) {
    guarded("conv2d_fused_bwd_data", [&] {
      const Conv2d t = transposed(d);
      std::vector<float> turned;
      const auto plain = [&] { return (turned = transposed_weights(d, w)).data(); };
      // Other contents than w's under the same name: another name.
      const std::uint64_t key = d.weight_key ? ~d.weight_key : 0;
      if (winograd_suits(t)) return winograd(t, dy, key, plain, nullptr, {residual, false, open, nullptr}, dx);
      const After after{kind_of(residual, dx), open ? After::gate : After::nothing};
      const ConvPlan& plan = fused_plan(t, false, after);
      run(t, after, dy, packed_weights(plan, key, plain), plan, nullptr, residual, open, dx);
    });
    return;
  }
  const std::int64_t n = d.n * d.h * d.w * d.c;
  std::vector<float> kept;  // dx is written over by the gradient
  if (residual == dx && residual) residual = (kept = std::vector<float>(dx, dx + n)).data();
  cpu::conv2d_bwd_data(ctx, d, dy, w, dx);
  if (residual) cpu::add_scaled(ctx, n, 1.0, dx, 1.0, residual, dx);
  if (open) gate_bits(n, open, dx);
}

// Double is for checks: it runs the plain loops.
void conv2d_fused_fwd(const Context& ctx, const Conv2d& d, const double* x, const double* w, const double* b,
                      const double* residual, bool relu, double* y, std::uint8_t* positive) {
  ref::conv2d_fused_fwd(ctx, d, x, w, b, residual, relu, y, positive);
}
void conv2d_fused_bwd_data(const Context& ctx, const Conv2d& d, const double* dy, const double* w,
                           const double* residual, const std::uint8_t* open, double* dx) {
  ref::conv2d_fused_bwd_data(ctx, d, dy, w, residual, open, dx);
}

}  // namespace pen::kernels::cpu
