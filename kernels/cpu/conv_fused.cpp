// Convolutions of frozen networks on oneDNN: bias, residual, ReLU and the ReLU's gate as post-operations. oneDNN has
// those on the forward pass only, so a data gradient of stride 1 runs as the forward convolution that it is, with
// transposed and rotated weights; the others are oneDNN's own, followed by one pass over the result.
#include <algorithm>
#include <bit>
#include <functional>
#include <type_traits>
#include <vector>

#include "base/parallel.h"
#include "kernels/cpu/bits.h"
#include "kernels/cpu/conv_plan.h"
#include "kernels/cpu/conv_pointwise.h"
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

// Each channel by itself.
bool depthwise(const Conv2d& d) { return d.groups == d.c && d.groups == d.k; }

template <class T>
const ConvPlan& fused_plan(const Conv2d& d, bool bias, After after) {
  constexpr DType type = dtype_of<T>::value;
  thread_local PrimitiveCache<ConvPlan> cache;
  const auto slope = static_cast<float>(after.last == After::relu ? d.relu_slope : 0);
  const std::int64_t variant =
      bias | after.residual << 1 | after.last << 3 | std::int64_t{std::bit_cast<std::uint32_t>(slope)} << 8;
  return cache.get(key_of(d, ConvOperation::fused, variant, type), [&] {
    const memory::desc y = describe(d, type).y;
    dnnl::post_ops ops;
    if (after.residual == After::in_place) ops.append_sum(1.0f);
    if (after.residual == After::separate) ops.append_binary(dnnl::algorithm::binary_add, y);
    if (after.last == After::relu) ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, slope, 0.0f);
    if (after.last == After::gate)
      ops.append_binary(dnnl::algorithm::binary_mul, {y.dims(), memory::data_type::u8, memory::format_tag::nhwc});
    return forward_plan_of(forward_description(d, bias, dnnl::prop_kind::forward_inference, ops, type), d, type);
  });
}

After::Residual kind_of(const void* residual, const void* y) {
  return !residual ? After::none : residual == y ? After::in_place : After::separate;
}

// y = after(x * w + b); open is read by After::gate.
void run(const Conv2d& d, After after, const void* x, const void* w, const ConvPlan& plan, const float* b,
         const void* residual, const std::uint8_t* open, void* y) {
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
  t.r = d.r, t.s = d.s, t.dilation = d.dilation, t.groups = d.groups;
  t.pad = static_cast<int>(d.dilation * (d.r - 1)) - d.pad;
  t.winograd = d.winograd, t.winograd_large = d.winograd_large, t.relu_slope = d.relu_slope;
  return t;
}

// Conv2d has one padding for both axes, and ours never cuts.
bool runs_transposed(const Conv2d& d) {
  return d.stride == 1 && (d.groups == 1 || depthwise(d)) && d.r == d.s && d.dilation * (d.r - 1) >= d.pad;
}

// (K,C,R,S) -> (C,K,R,S), rotated by half a turn; of depthwise convolutions (K,1,R,S) -> (K,1,R,S).
template <class T>
std::vector<T> transposed_weights(const Conv2d& d, const T* w) {
  const std::int64_t area = d.r * d.s;
  if (depthwise(d)) {
    std::vector<T> out(static_cast<std::size_t>(d.k * area));
    for (std::int64_t k = 0; k < d.k; ++k)
      for (std::int64_t i = 0; i < area; ++i) out[static_cast<std::size_t>(k * area + i)] = w[k * area + area - 1 - i];
    return out;
  }
  std::vector<T> out(static_cast<std::size_t>(d.k * d.c * area));
  parallel_for(d.c, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c)
      for (std::int64_t k = 0; k < d.k; ++k)
        for (std::int64_t i = 0; i < area; ++i)
          out[static_cast<std::size_t>((c * d.k + k) * area + i)] = w[(k * d.c + c) * area + area - 1 - i];
  });
  return out;
}

// Whether some output along an axis has no tap inside of the input.
bool misses_axis(std::int64_t in, std::int64_t out, std::int64_t kernel, const Conv2d& d) {
  for (std::int64_t o = 0; o < out; ++o) {
    bool inside = false;
    for (std::int64_t i = 0; i < kernel && !inside; ++i) {
      const std::int64_t at = o * d.stride - d.pad + i * d.dilation;
      inside = at >= 0 && at < in;
    }
    if (!inside) return true;
  }
  return false;
}
// oneDNN 2.6.3 leaves a residual out of an output whose window reads nothing but padding (or adds another's). No
// network of ours has such a convolution: the plain loops do.
bool misses_input(const Conv2d& d) { return misses_axis(d.h, d.p, d.r, d) || misses_axis(d.w, d.q, d.s, d); }

// Gives K,C,R,S weights; asked only where no packed copy of them is kept.
template <class T>
using PlainWeights = std::function<const T*()>;

template <class T>
void forward(const Context& ctx, const Conv2d& d, const T* x, const PlainWeights<T>& plain, const float* b,
             const T* residual, bool relu, T* y, std::uint8_t* positive) {
  if (d.n == 0) return;
  if constexpr (std::is_same_v<T, float>) {
    const Epilogue ours{residual, relu, nullptr, positive, static_cast<float>(d.relu_slope)};
    if (winograd_suits(d)) return winograd(d, x, name_of(d), plain, false, b, ours, y);
    if (pointwise_suits(d)) return pointwise(d, x, plain, b, ours, y);
  }
  if (residual && misses_input(d)) return ref::conv2d_fused_fwd(ctx, d, x, plain(), b, residual, relu, y, positive);
  const After after{kind_of(residual, y), relu ? After::relu : After::nothing};
  const ConvPlan& plan = fused_plan<T>(d, b != nullptr, after);
  run(d, after, x, packed_weights(plan, name_of(d), plain), plan, b, residual, nullptr, y);
  if (positive) pack_positive(d.n * d.p * d.q * d.k, y, positive);
}

// oneDNN's own data gradient; what follows it are passes over the result.
template <class T>
void backward_strided(const Context& ctx, const Conv2d& d, const T* dy, const PlainWeights<T>& plain, const T* residual,
                      const std::uint8_t* open, T* dx) {
  const std::int64_t n = d.n * d.h * d.w * d.c;
  std::vector<T> kept;  // dx is written over by the gradient
  if (residual == dx && residual) residual = (kept = std::vector<T>(dx, dx + n)).data();
  if constexpr (std::is_same_v<T, float>) {
    cpu::conv2d_bwd_data(ctx, d, dy, plain(), dx);
  } else {
    const ConvPlan& plan = data_plan(d, dtype_of<T>::value);
    plan.primitive.execute(dnnl_stream(), {{DNNL_ARG_DIFF_DST, wrap(plan.y, dy)},
                                           {DNNL_ARG_WEIGHTS, wrap(plan.w, packed_weights(plan, name_of(d), plain))},
                                           {DNNL_ARG_DIFF_SRC, wrap(plan.x, dx)},
                                           {DNNL_ARG_SCRATCHPAD, scratchpad_of(plan)}});
  }
  if (residual) cpu::add_scaled(ctx, n, 1.0, dx, 1.0, residual, dx);
  if (open) gate_bits(n, d.relu_slope, open, dx, dx);
}

template <class T>
void backward_data(const Context& ctx, const Conv2d& d, const T* dy, const PlainWeights<T>& plain, const T* residual,
                   const std::uint8_t* open, T* dx) {
  if (d.n == 0) return;
  const auto slope = static_cast<float>(d.relu_slope);
  if constexpr (std::is_same_v<T, float>)
    if (pointwise_suits(d)) return pointwise_data_gradient(d, dy, plain, {residual, false, open, nullptr, slope}, dx);
  if (!runs_transposed(d)) return backward_strided(ctx, d, dy, plain, residual, open, dx);
  const Conv2d t = transposed(d);
  const WeightName name = name_of_transposed(d);
  if constexpr (std::is_same_v<T, float>)
    if (winograd_suits(t))
      return winograd(t, dy, name, plain, true, nullptr, {residual, false, open, nullptr, slope}, dx);
  if (residual && misses_input(t)) return ref::conv2d_fused_bwd_data(ctx, d, dy, plain(), residual, open, dx);
  // A gate that leaves a part of what it closes is no product with a byte: a pass of its own.
  const bool apart = open && d.relu_slope != 0;
  const After after{kind_of(residual, dx), open && !apart ? After::gate : After::nothing};
  const ConvPlan& plan = fused_plan<T>(t, false, after);
  std::vector<T> memory;
  const auto turned = [&] { return (memory = transposed_weights(d, plain())).data(); };
  run(t, after, dy, packed_weights(plan, name, turned), plan, nullptr, residual, open, dx);
  if (apart) gate_bits(d.n * d.h * d.w * d.c, d.relu_slope, open, dx, dx);
}

// oneDNN 2.6 has no f16 on x86: float convolutions between conversions. A residual becomes the result's memory.
template <class T>
float* as_float(std::int64_t n, const T* from, int slot) {
  auto* const to = static_cast<float*>(scratch(static_cast<std::size_t>(n) * sizeof(float), slot));
  if (from) cpu::widen({}, n, from, to);
  return to;
}
std::vector<float> as_float(const Conv2d& d, const f16* w) {
  std::vector<float> out(static_cast<std::size_t>(d.k * (d.c / d.groups) * d.r * d.s));
  cpu::widen({}, static_cast<std::int64_t>(out.size()), w, out.data());
  return out;
}

void half_forward(const Context& ctx, const Conv2d& d, const f16* x, const f16* w, const float* b, const f16* residual,
                  bool relu, f16* y, std::uint8_t* positive) {
  const std::int64_t n = d.n * d.p * d.q * d.k;
  std::vector<float> weights;
  float* const sums = as_float(n, residual, 5);
  forward<float>(
      ctx, d, as_float(d.n * d.h * d.w * d.c, x, 4), [&] { return (weights = as_float(d, w)).data(); }, b,
      residual ? sums : nullptr, relu, sums, nullptr);
  cpu::narrow(ctx, n, sums, y);
  if (positive) pack_positive(n, y, positive);  // a sum may have been rounded to zero
}

void half_backward_data(const Context& ctx, const Conv2d& d, const f16* dy, const f16* w, const f16* residual,
                        const std::uint8_t* open, f16* dx) {
  const std::int64_t n = d.n * d.h * d.w * d.c;
  std::vector<float> weights;
  float* const sums = as_float(n, residual, 5);
  backward_data<float>(
      ctx, d, as_float(d.n * d.p * d.q * d.k, dy, 4), [&] { return (weights = as_float(d, w)).data(); },
      residual ? sums : nullptr, open, sums);
  cpu::narrow(ctx, n, sums, dx);
}

}  // namespace

// Winograd's algorithm is for float alone: in bf16 its transforms would lose more than it gains.
#define PEN_DEFINE(T)                                                                                         \
  void conv2d_fused_fwd(const Context& ctx, const Conv2d& d, const T* x, const T* w, const float* b,          \
                        const T* residual, bool relu, T* y, std::uint8_t* positive) {                         \
    guarded("conv2d_fused_fwd", [&] {                                                                         \
      forward<T>(                                                                                             \
          ctx, d, x, [=] { return w; }, b, residual, relu, y, positive);                                      \
    });                                                                                                       \
  }                                                                                                           \
  void conv2d_fused_bwd_data(const Context& ctx, const Conv2d& d, const T* dy, const T* w, const T* residual, \
                             const std::uint8_t* open, T* dx) {                                               \
    guarded("conv2d_fused_bwd_data", [&] {                                                                    \
      backward_data<T>(                                                                                       \
          ctx, d, dy, [=] { return w; }, residual, open, dx);                                                 \
    });                                                                                                       \
  }
PEN_DEFINE(float)
PEN_DEFINE(bf16)
#undef PEN_DEFINE

void conv2d_fused_fwd(const Context& ctx, const Conv2d& d, const f16* x, const f16* w, const float* b,
                      const f16* residual, bool relu, f16* y, std::uint8_t* positive) {
  guarded("conv2d_fused_fwd", [&] { half_forward(ctx, d, x, w, b, residual, relu, y, positive); });
}
void conv2d_fused_bwd_data(const Context& ctx, const Conv2d& d, const f16* dy, const f16* w, const f16* residual,
                           const std::uint8_t* open, f16* dx) {
  guarded("conv2d_fused_bwd_data", [&] { half_backward_data(ctx, d, dy, w, residual, open, dx); });
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
