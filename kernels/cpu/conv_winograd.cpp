#include "kernels/cpu/conv_winograd.h"

#include <cstring>

#include "base/parallel.h"
#include "kernels/cpu/conv_plan.h"

namespace pen::kernels::cpu {
namespace {

using dnnl::memory;

constexpr std::int64_t block = 16;  // channels that oneDNN's kernel keeps together; also the bits of two bytes
// Transformed weights are four times as large. Those of ResNet-50's last stage would be 38 MB for each layer and
// direction, a fifth of the memory of a FIX step, for a few hundredths of its time.
constexpr std::int64_t most_weights = 256 * 256;

// A plan whose primitive is null where oneDNN does not do it.
const ConvPlan& winograd_plan(const Conv2d& d, bool bias) {
  thread_local PrimitiveCache<ConvPlan> cache;
  return cache.get(key_of(d, ConvOperation::winograd, bias), [&]() -> ConvPlan {
    ConvDescriptions o = describe(d);
    o.x = {{d.n, d.c, d.h, d.w}, memory::data_type::f32, memory::format_tag::nChw16c};
    o.y = {{d.n, d.k, d.p, d.q}, memory::data_type::f32, memory::format_tag::nChw16c};
    using desc = dnnl::convolution_forward::desc;
    const auto kind = dnnl::prop_kind::forward_inference;
    const auto algorithm = dnnl::algorithm::convolution_winograd;
    try {
      const desc description =
          bias ? desc(kind, algorithm, o.x, o.w_any, o.b, o.y, o.strides, o.dilates, o.pad_low, o.pad_high)
               : desc(kind, algorithm, o.x, o.w_any, o.y, o.strides, o.dilates, o.pad_low, o.pad_high);
      // oneDNN's own scratch memory: with the caller's this kernel crashes (2.6.3).
      return forward_plan_of({description, dnnl_engine()}, d);
    } catch (const dnnl::error& error) {
      if (error.status != dnnl_unimplemented) throw;
      return {};
    }
  });
}

// x (N,H,W,C) in blocks: (N,C/16,H,W,16)
void to_blocks(const Conv2d& d, const float* x, float* blocks) {
  const std::int64_t area = d.h * d.w, groups = d.c / block;
  parallel_for(d.n * d.h, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t n = row / d.h, h = row % d.h;
      const float* from = x + row * d.w * d.c;
      for (std::int64_t g = 0; g < groups; ++g) {
        float* to = blocks + ((n * groups + g) * area + h * d.w) * block;
        for (std::int64_t w = 0; w < d.w; ++w)
          for (std::int64_t c = 0; c < block; ++c) to[w * block + c] = from[w * d.c + g * block + c];
      }
    }
  });
}

// One output row out of blocks, with what follows the sums. A kernel of its own for each combination, so that the inner
// loops stay free of questions.
template <bool residual, bool relu, bool gated, bool marks>
void finish_rows(const Conv2d& d, const float* blocks, const Epilogue& e, float* y, std::int64_t begin,
                 std::int64_t end) {
  const std::int64_t area = d.p * d.q, groups = d.k / block;
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t n = row / d.p, p = row % d.p;
    for (std::int64_t g = 0; g < groups; ++g) {
      const float* from = blocks + ((n * groups + g) * area + p * d.q) * block;
      for (std::int64_t q = 0; q < d.q; ++q) {
        const std::int64_t at = (row * d.q + q) * d.k + g * block;
        float v[block];
        for (std::int64_t c = 0; c < block; ++c) v[c] = from[q * block + c];
        if constexpr (residual)
          for (std::int64_t c = 0; c < block; ++c) v[c] += e.residual[at + c];
        if constexpr (relu)
          for (std::int64_t c = 0; c < block; ++c) v[c] = v[c] < 0 ? 0 : v[c];
        if constexpr (gated) {
          std::uint16_t open;
          std::memcpy(&open, e.open + at / 8, sizeof open);
          for (std::int64_t c = 0; c < block; ++c) v[c] = open >> c & 1 ? v[c] : 0;
        }
        for (std::int64_t c = 0; c < block; ++c) y[at + c] = v[c];
        if constexpr (marks) {
          unsigned marks_of = 0;
          for (std::int64_t c = 0; c < block; ++c) marks_of |= static_cast<unsigned>(v[c] > 0) << c;
          const auto bits = static_cast<std::uint16_t>(marks_of);
          std::memcpy(e.positive + at / 8, &bits, sizeof bits);
        }
      }
    }
  }
}

template <bool... chosen>
void finish(const Conv2d& d, const float* blocks, const Epilogue& e, float* y) {
  if constexpr (sizeof...(chosen) == 4) {
    parallel_for(d.n * d.p, 4,
                 [&](std::int64_t begin, std::int64_t end) { finish_rows<chosen...>(d, blocks, e, y, begin, end); });
  } else {
    const bool all[] = {e.residual != nullptr, e.relu, e.open != nullptr, e.positive != nullptr};
    if (all[sizeof...(chosen)]) return finish<chosen..., true>(d, blocks, e, y);
    finish<chosen..., false>(d, blocks, e, y);
  }
}

}  // namespace

bool winograd_suits(const Conv2d& d) {
  if (!d.winograd) return false;
  if (d.r != 3 || d.s != 3 || d.stride != 1 || d.dilation != 1 || d.groups != 1 || d.pad != 1) return false;
  if (d.c % block || d.k % block || d.c < 2 * block || d.k < 2 * block || d.h < 4 || d.w < 4) return false;
  if (d.c * d.k > most_weights) return false;
  return static_cast<bool>(winograd_plan(d, true).primitive);
}

void winograd(const Conv2d& d, const float* x, std::uint64_t key, const std::function<const void*()>& plain,
              const float* b, const Epilogue& after, float* y) {
  const ConvPlan& plan = winograd_plan(d, b != nullptr);
  const void* weights = packed_weights(plan, key, plain);
  auto* in = static_cast<float*>(scratch(plan.x.get_size(), 2));
  auto* out = static_cast<float*>(scratch(plan.y.get_size(), 3));
  to_blocks(d, x, in);
  std::unordered_map<int, memory> arguments{
      {DNNL_ARG_SRC, wrap(plan.x, in)}, {DNNL_ARG_WEIGHTS, wrap(plan.w, weights)}, {DNNL_ARG_DST, wrap(plan.y, out)}};
  if (b) arguments.emplace(DNNL_ARG_BIAS, wrap(plan.b, b));
  plan.primitive.execute(dnnl_stream(), arguments);
  finish<>(d, out, after, y);
}

}  // namespace pen::kernels::cpu
