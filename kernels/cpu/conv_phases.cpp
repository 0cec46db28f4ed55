#include "kernels/cpu/conv_phases.h"

#include <vector>

#include "base/parallel.h"

namespace pen::kernels::cpu {
namespace {

using std::int64_t;

// Image row h, with h + pad = S u + a, receives w[S i + a] dy[u - i] for i = 0..T-1: row u of the convolution `t` (pad
// T - 1, taps turned round) at place a; columns likewise.
Conv2d phases_of(const Conv2d& d) {
  const int64_t taps = (d.r + d.stride - 1) / d.stride;
  Conv2d t{};
  t.n = d.n, t.h = d.p, t.w = d.q, t.c = d.k;
  t.k = d.stride * d.stride * d.c, t.r = t.s = taps;
  t.p = (d.h - 1 + d.pad) / d.stride + 1, t.q = (d.w - 1 + d.pad) / d.stride + 1;
  t.pad = static_cast<int>(taps - 1);
  return t;
}

// (S,S,C; K,T,T) from (K,C,R,R): zero where a place has fewer taps.
std::vector<float> cut_weights(const Conv2d& d, const Conv2d& t, const float* w) {
  std::vector<float> out(static_cast<std::size_t>(t.k * t.c * t.r * t.s));
  std::size_t at = 0;
  for (int64_t a = 0; a < d.stride; ++a)
    for (int64_t b = 0; b < d.stride; ++b)
      for (int64_t c = 0; c < d.c; ++c)
        for (int64_t k = 0; k < d.k; ++k)
          for (int64_t i = 0; i < t.r; ++i)
            for (int64_t j = 0; j < t.s; ++j, ++at) {
              const int64_t r = d.stride * (t.r - 1 - i) + a, s = d.stride * (t.s - 1 - j) + b;
              if (r < d.r && s < d.s) out[at] = w[((k * d.c + c) * d.r + r) * d.s + s];
            }
  return out;
}

}  // namespace

bool phases_suit(const Conv2d& d) {
  return d.stride > 1 && d.groups == 1 && d.dilation == 1 && d.r == d.s && d.r >= d.stride &&
         d.stride * d.stride * d.c <= 16;
}

void data_gradient_by_phases(const Conv2d& d, const float* dy, const float* w, float* dx) {
  const Conv2d t = phases_of(d);
  thread_local PrimitiveCache<ConvPlan> cache;
  const ConvPlan& plan = cache.get(key_of(t, ConvOperation::forward, 0), [&] {
    return forward_plan_of(forward_description(t, false, dnnl::prop_kind::forward_inference), t);
  });
  const WeightName name = name_of_transposed(d);
  std::vector<float> cut;
  const void* const weights = packed_weights(plan, name, [&] { return (cut = cut_weights(d, t, w)).data(); });
  auto* const sums = static_cast<float*>(scratch(plan.y.get_size(), 2));
  plan.primitive.execute(dnnl_stream(), {{DNNL_ARG_SRC, wrap(plan.x, dy)},
                                         {DNNL_ARG_WEIGHTS, wrap(plan.w, weights)},
                                         {DNNL_ARG_DST, wrap(plan.y, sums)},
                                         {DNNL_ARG_SCRATCHPAD, scratchpad_of(plan)}});
  parallel_for(d.n * d.h, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / d.h, h = row % d.h + d.pad;
      const float* const from = sums + (n * t.p + h / d.stride) * t.q * t.k + h % d.stride * d.stride * d.c;
      for (int64_t v = 0; v < d.w; ++v) {
        const int64_t at = v + d.pad;
        for (int64_t c = 0; c < d.c; ++c)
          dx[(row * d.w + v) * d.c + c] = from[at / d.stride * t.k + at % d.stride * d.c + c];
      }
    }
  });
}

}  // namespace pen::kernels::cpu
