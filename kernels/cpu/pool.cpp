// Pooling on oneDNN. Its workspace for max pooling is one byte per output with the winner's place in the window, the
// first winner in row-major order: exactly our index.
#include "kernels/cpu/dnnl_common.h"
#include "kernels/kernels.h"

namespace pen::kernels::cpu {
namespace {

using dnnl::memory;
using dims = memory::dims;

struct Plan {
  dnnl::primitive primitive;
  memory::desc x, y, workspace;
};

struct Descriptions {
  memory::desc x, y;
  dims strides, kernel, pad_low, pad_high;
};

Descriptions describe(const Pool2d& d) {
  constexpr auto f32 = memory::data_type::f32;
  constexpr auto nhwc = memory::format_tag::nhwc;
  return {{{d.n, d.c, d.h, d.w}, f32, nhwc},
          {{d.n, d.c, d.p, d.q}, f32, nhwc},
          {d.stride, d.stride},
          {d.k, d.k},
          {d.pad, d.pad},
          {(d.p - 1) * d.stride + d.k - d.h - d.pad, (d.q - 1) * d.stride + d.k - d.w - d.pad}};
}

PrimitiveKey key_of(const Pool2d& d, dnnl::algorithm algorithm, bool index) {
  return {static_cast<std::int64_t>(algorithm), index, d.n, d.h, d.w, d.c, d.p, d.q, d.k, d.stride, d.pad};
}

dnnl::pooling_forward::primitive_desc forward_description(const Pool2d& d, dnnl::algorithm algorithm, bool index) {
  const Descriptions o = describe(d);
  const auto kind = index ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
  return {{kind, algorithm, o.x, o.y, o.strides, o.kernel, o.pad_low, o.pad_high}, dnnl_engine()};
}

// The whole design rests on the workspace being our index; a oneDNN that chooses another one must not pass silently.
void check_workspace(const Pool2d& d, const memory::desc& workspace) {
  const memory::desc ours({d.n, d.c, d.p, d.q}, memory::data_type::u8, memory::format_tag::nhwc);
  PEN_CHECK(workspace == ours,
            "max_pool: oneDNN keeps its indices in another form than one byte per output for window ", d.k, "x", d.k);
}

void run_forward(const Pool2d& d, dnnl::algorithm algorithm, const float* x, float* y, std::uint8_t* index) {
  if (d.n == 0) return;
  thread_local PrimitiveCache<Plan> cache;
  const Plan& plan = cache.get(key_of(d, algorithm, index != nullptr), [&] {
    const auto pd = forward_description(d, algorithm, index != nullptr);
    if (index) check_workspace(d, pd.workspace_desc());
    return Plan{dnnl::pooling_forward(pd), pd.src_desc(), pd.dst_desc(), pd.workspace_desc()};
  });
  std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, wrap(plan.x, x)}, {DNNL_ARG_DST, wrap(plan.y, y)}};
  if (index) arguments.emplace(DNNL_ARG_WORKSPACE, wrap(plan.workspace, index));
  plan.primitive.execute(dnnl_stream(), arguments);
}

void run_backward(const Pool2d& d, dnnl::algorithm algorithm, const float* dy, const std::uint8_t* index, float* dx) {
  if (d.n == 0) return;
  thread_local PrimitiveCache<Plan> cache;
  const Plan& plan = cache.get(key_of(d, algorithm, index != nullptr), [&] {
    const Descriptions o = describe(d);
    const auto hint = forward_description(d, algorithm, true);
    const dnnl::pooling_backward::primitive_desc pd({algorithm, o.x, o.y, o.strides, o.kernel, o.pad_low, o.pad_high},
                                                    dnnl_engine(), hint);
    return Plan{dnnl::pooling_backward(pd), pd.diff_src_desc(), pd.diff_dst_desc(), hint.workspace_desc()};
  });
  std::unordered_map<int, memory> arguments{{DNNL_ARG_DIFF_DST, wrap(plan.y, dy)},
                                            {DNNL_ARG_DIFF_SRC, wrap(plan.x, dx)}};
  if (index) arguments.emplace(DNNL_ARG_WORKSPACE, wrap(plan.workspace, index));
  plan.primitive.execute(dnnl_stream(), arguments);
}

constexpr auto max_algorithm = dnnl::algorithm::pooling_max;
constexpr auto avg_algorithm = dnnl::algorithm::pooling_avg_exclude_padding;

}  // namespace

void max_pool_fwd(const Context&, const Pool2d& d, const float* x, float* y, std::uint8_t* index) {
  guarded("max_pool_fwd", [&] { run_forward(d, max_algorithm, x, y, index); });
}
void max_pool_bwd(const Context&, const Pool2d& d, const float* dy, const std::uint8_t* index, float* dx) {
  guarded("max_pool_bwd", [&] { run_backward(d, max_algorithm, dy, index, dx); });
}
void avg_pool_fwd(const Context&, const Pool2d& d, const float* x, float* y) {
  guarded("avg_pool_fwd", [&] { run_forward(d, avg_algorithm, x, y, nullptr); });
}
void avg_pool_bwd(const Context&, const Pool2d& d, const float* dy, float* dx) {
  guarded("avg_pool_bwd", [&] { run_backward(d, avg_algorithm, dy, nullptr, dx); });
}

// Double is for checks: it runs the plain loops.
void max_pool_fwd(const Context& ctx, const Pool2d& d, const double* x, double* y, std::uint8_t* index) {
  ref::max_pool_fwd(ctx, d, x, y, index);
}
void max_pool_bwd(const Context& ctx, const Pool2d& d, const double* dy, const std::uint8_t* index, double* dx) {
  ref::max_pool_bwd(ctx, d, dy, index, dx);
}
void avg_pool_fwd(const Context& ctx, const Pool2d& d, const double* x, double* y) { ref::avg_pool_fwd(ctx, d, x, y); }
void avg_pool_bwd(const Context& ctx, const Pool2d& d, const double* dy, double* dx) {
  ref::avg_pool_bwd(ctx, d, dy, dx);
}

}  // namespace pen::kernels::cpu
