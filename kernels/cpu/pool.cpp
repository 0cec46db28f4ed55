// Pooling on oneDNN, but for the forward maximum: oneDNN's loses a NaN (it loses every comparison), so that a network
// that has broken down looks sound behind its pool. oneDNN's workspace for max pooling is one byte per output with the
// winner's place in the window, the first winner in row-major order: exactly our index, so its backward reads ours.
#include <algorithm>

#include "base/parallel.h"
#include "kernels/cpu/dnnl_common.h"
#include "kernels/cpu/exec.h"
#include "kernels/kernels.h"
#include "kernels/shared/pool.inl"

namespace pen::kernels::cpu {
namespace {

using dnnl::memory;
using dims = memory::dims;

constexpr auto max_algorithm = dnnl::algorithm::pooling_max;
constexpr auto avg_algorithm = dnnl::algorithm::pooling_avg_exclude_padding;

struct Plan {
  dnnl::primitive primitive;
  memory::desc x, y, workspace;
};

struct Descriptions {
  memory::desc x, y;
  dims strides, kernel, pad_low, pad_high;
};

Descriptions describe(const Pool2d& d, DType type = DType::f32) {
  const auto t = type == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  constexpr auto nhwc = memory::format_tag::nhwc;
  return {{{d.n, d.c, d.h, d.w}, t, nhwc},
          {{d.n, d.c, d.p, d.q}, t, nhwc},
          {d.stride, d.stride},
          {d.k, d.k},
          {d.pad, d.pad},
          {(d.p - 1) * d.stride + d.k - d.h - d.pad, (d.q - 1) * d.stride + d.k - d.w - d.pad}};
}

PrimitiveKey key_of(const Pool2d& d, bool index = false, DType type = DType::f32) {
  return {index + 2 * static_cast<std::int64_t>(type), d.n, d.h, d.w, d.c, d.p, d.q, d.k, d.stride, d.pad};
}

dnnl::pooling_forward::primitive_desc forward_description(const Pool2d& d, dnnl::algorithm algorithm,
                                                          dnnl::prop_kind kind, DType type = DType::f32) {
  const Descriptions o = describe(d, type);
  return {{kind, algorithm, o.x, o.y, o.strides, o.kernel, o.pad_low, o.pad_high}, dnnl_engine()};
}

// The whole design rests on the workspace being our index; a oneDNN that chooses another one must not pass silently.
void check_workspace(const Pool2d& d, const memory::desc& workspace) {
  const memory::desc ours({d.n, d.c, d.p, d.q}, memory::data_type::u8, memory::format_tag::nhwc);
  PEN_CHECK(workspace == ours,
            "max_pool: oneDNN keeps its indices in another form than one byte per output for window ", d.k, "x", d.k);
}

void average_forward(const Pool2d& d, const float* x, float* y) {
  if (d.n == 0) return;
  thread_local PrimitiveCache<Plan> cache;
  const Plan& plan = cache.get(key_of(d), [&] {
    const auto pd = forward_description(d, avg_algorithm, dnnl::prop_kind::forward_inference);
    return Plan{dnnl::pooling_forward(pd), pd.src_desc(), pd.dst_desc(), {}};
  });
  plan.primitive.execute(dnnl_stream(), {{DNNL_ARG_SRC, wrap(plan.x, x)}, {DNNL_ARG_DST, wrap(plan.y, y)}});
}

template <class T>
void run_backward(const Pool2d& d, dnnl::algorithm algorithm, const T* dy, const std::uint8_t* index, T* dx) {
  constexpr DType type = dtype_of<T>::value;
  if (d.n == 0) return;
  thread_local PrimitiveCache<Plan> cache;
  const Plan& plan = cache.get(key_of(d, index != nullptr, type), [&] {
    const Descriptions o = describe(d, type);
    const auto hint = forward_description(d, algorithm, dnnl::prop_kind::forward_training, type);
    if (index) check_workspace(d, hint.workspace_desc());
    const dnnl::pooling_backward::primitive_desc pd({algorithm, o.x, o.y, o.strides, o.kernel, o.pad_low, o.pad_high},
                                                    dnnl_engine(), hint);
    return Plan{dnnl::pooling_backward(pd), pd.diff_src_desc(), pd.diff_dst_desc(), hint.workspace_desc()};
  });
  std::unordered_map<int, memory> arguments{{DNNL_ARG_DIFF_DST, wrap(plan.y, dy)},
                                            {DNNL_ARG_DIFF_SRC, wrap(plan.x, dx)}};
  if (index) arguments.emplace(DNNL_ARG_WORKSPACE, wrap(plan.workspace, index));
  plan.primitive.execute(dnnl_stream(), arguments);
}

// A number that is in the order of x's values: floats are compared as they are, of 16 bit the bits as an integer, which
// takes half as many vectors and no conversions. Both zeros are one.
float order(float x) { return x; }
template <class T>
std::int16_t order(T x) {
  const auto bits = static_cast<std::int16_t>(x.bits);
  const auto magnitude = static_cast<std::int16_t>(bits & 0x7fff);
  return bits < 0 ? static_cast<std::int16_t>(-magnitude) : magnitude;
}
bool is_nan(float x) { return x != x; }
bool is_nan(bf16 x) { return (x.bits & 0x7fff) > 0x7f80; }
bool is_nan(f16 x) { return (x.bits & 0x7fff) > 0x7c00; }

// One window of all channels: y (C) and, if wanted, index (C). The first of equals wins, and the first NaN over all.
template <class T>
void max_window(const Pool2d& d, const T* image, std::int64_t p, std::int64_t q, T* y, std::uint8_t* index) {
  const std::int64_t top = p * d.stride - d.pad, left = q * d.stride - d.pad, n = d.c;
  bool first = true;
  for (std::int64_t h = std::max<std::int64_t>(top, 0); h < std::min(top + d.k, d.h); ++h)
    for (std::int64_t w = std::max<std::int64_t>(left, 0); w < std::min(left + d.k, d.w); ++w) {
      const T* const x = image + (h * d.w + w) * n;
      const auto place = static_cast<std::uint8_t>((h - top) * d.k + (w - left));
      if (first) {
        std::copy_n(x, n, y);
        if (index) std::fill_n(index, n, place);
        first = false;
        continue;
      }
      const auto wins = [x, y](std::int64_t c) {
        return ((order(x[c]) > order(y[c])) & !is_nan(y[c])) | (is_nan(x[c]) & !is_nan(y[c]));
      };
      if (index) {
#pragma GCC ivdep
        for (std::int64_t c = 0; c < n; ++c) index[c] = wins(c) ? place : index[c];
      }
#pragma GCC ivdep
      for (std::int64_t c = 0; c < n; ++c) y[c] = wins(c) ? x[c] : y[c];
    }
}

template <class T>
void max_forward(const Pool2d& d, const T* x, T* y, std::uint8_t* index) {
  parallel_for(d.n * d.p, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t q = 0; q < d.q; ++q) {
        const std::int64_t at = (row * d.q + q) * d.c;
        max_window(d, x + row / d.p * d.h * d.w * d.c, row % d.p, q, y + at, index ? index + at : nullptr);
      }
  });
}

}  // namespace

void max_pool_fwd(const Context&, const Pool2d& d, const float* x, float* y, std::uint8_t* index) {
  max_forward(d, x, y, index);
}
void max_pool_bwd(const Context&, const Pool2d& d, const float* dy, const std::uint8_t* index, float* dx) {
  guarded("max_pool_bwd", [&] { run_backward(d, max_algorithm, dy, index, dx); });
}
void max_pool_fwd(const Context&, const Pool2d& d, const bf16* x, bf16* y, std::uint8_t* index) {
  max_forward(d, x, y, index);
}
void max_pool_bwd(const Context&, const Pool2d& d, const bf16* dy, const std::uint8_t* index, bf16* dx) {
  guarded("max_pool_bwd", [&] { run_backward(d, max_algorithm, dy, index, dx); });
}
// oneDNN 2.6 has no f16 on x86.
void max_pool_fwd(const Context&, const Pool2d& d, const f16* x, f16* y, std::uint8_t* index) {
  max_forward(d, x, y, index);
}
void max_pool_bwd(const Context& ctx, const Pool2d& d, const f16* dy, const std::uint8_t* index, f16* dx) {
  shared::max_pool_bwd<Exec>(ctx, d, dy, index, dx);
}
void avg_pool_fwd(const Context&, const Pool2d& d, const float* x, float* y) {
  guarded("avg_pool_fwd", [&] { average_forward(d, x, y); });
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
