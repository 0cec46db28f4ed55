// Batch norm in training: the forward is ours, the backward oneDNN's.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "kernels/cpu/dnnl_common.h"
#include "kernels/kernels.h"

namespace pen::kernels::cpu {
namespace {

using dnnl::memory;

const auto flags = dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift;

memory::desc activation(const Rows& d) {
  return {{1, d.c, d.rows, 1}, memory::data_type::f32, memory::format_tag::nhwc};
}

memory::desc channels(const Rows& d) { return {{d.c}, memory::data_type::f32, memory::format_tag::x}; }

dnnl::primitive_attr own_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

PrimitiveKey key_of(const Rows& d, double eps) {
  std::int64_t bits = 0;
  static_assert(sizeof bits == sizeof eps);
  __builtin_memcpy(&bits, &eps, sizeof bits);
  return {d.rows, d.c, bits};
}

dnnl::batch_normalization_forward::primitive_desc forward_description(const Rows& d, double eps) {
  return {{dnnl::prop_kind::forward_training, activation(d), static_cast<float>(eps), flags},
          own_scratchpad(),
          dnnl_engine()};
}

struct Plan {
  dnnl::primitive primitive;
  memory::desc activation, channels, scratchpad;
};

}  // namespace

// Not oneDNN's: it sums in float, and its error in the mean (about 1e-7, always to the same side in long columns) moved
// values across the ReLU behind the norm and gradients by five times as much as PyTorch's double sums do. One pass over
// x; sums of x - x[0] and of its square, so that a large mean costs no digits of the variance.
void batch_norm_fwd(const Context&, const Rows& d, double eps, const float* x, const float* gamma, const float* beta,
                    float* y, float* mean, float* var) {
  const std::int64_t c = d.c;
  if (c == 0 || d.rows == 0) return;
  // Pieces depend on the shape alone, so the bits do not depend on the number of threads.
  const std::int64_t piece = std::max<std::int64_t>(65536 / c, 1), pieces = (d.rows + piece - 1) / piece;
  std::vector<double> partial(static_cast<std::size_t>(2 * pieces * c));
  parallel_for(pieces, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      double* const sum = partial.data() + 2 * p * c;
      double* const squares = sum + c;
      const std::int64_t last = std::min(d.rows, (p + 1) * piece);
      for (std::int64_t r = p * piece; r < last; ++r) {
        const float* const row = x + r * c;
#pragma GCC ivdep
        for (std::int64_t k = 0; k < c; ++k) {
          const double v = static_cast<double>(row[k]) - static_cast<double>(x[k]);
          sum[k] += v;
          squares[k] += v * v;
        }
      }
    }
  });
  std::vector<float> scale(static_cast<std::size_t>(c));
  const double n = static_cast<double>(d.rows);
  for (std::int64_t k = 0; k < c; ++k) {
    double sum = 0, squares = 0;
    for (std::int64_t p = 0; p < pieces; ++p) {
      sum += partial[static_cast<std::size_t>(2 * p * c + k)];
      squares += partial[static_cast<std::size_t>((2 * p + 1) * c + k)];
    }
    const double shifted = sum / n, variance = squares / n - shifted * shifted;
    mean[k] = static_cast<float>(static_cast<double>(x[k]) + shifted);
    var[k] = static_cast<float>(variance < 0 ? 0.0 : variance);  // NaN stays
    scale[static_cast<std::size_t>(k)] =
        static_cast<float>(static_cast<double>(gamma[k]) / std::sqrt(static_cast<double>(var[k]) + eps));
  }
  parallel_for(d.rows, 16384 / c + 1, [&](std::int64_t begin, std::int64_t end) {
    const float* const s = scale.data();
    for (std::int64_t r = begin; r < end; ++r) {
      const float* const from = x + r * c;
      float* const to = y + r * c;
#pragma GCC ivdep
      for (std::int64_t k = 0; k < c; ++k) to[k] = (from[k] - mean[k]) * s[k] + beta[k];
    }
  });
}

void batch_norm_bwd(const Context& ctx, const Rows& d, double eps, const float* x, const float* dy, const float* gamma,
                    const float* mean, const float* var, float* dx, float* dgamma, float* dbeta, Accum accum) {
  guarded("batch_norm_bwd", [&] {
    thread_local PrimitiveCache<Plan> cache;
    const Plan& plan = cache.get(key_of(d, eps), [&] {
      const dnnl::batch_normalization_backward::primitive_desc pd(
          {dnnl::prop_kind::backward, activation(d), activation(d), static_cast<float>(eps), flags}, own_scratchpad(),
          dnnl_engine(), forward_description(d, eps));
      return Plan{dnnl::batch_normalization_backward(pd), activation(d), channels(d), pd.scratchpad_desc()};
    });
    // oneDNN always writes all three; what is not wanted or must be added goes to scratch memory first.
    const std::size_t bytes = static_cast<std::size_t>(d.c) * sizeof(float);
    const bool direct = accum == Accum::write;
    float* gamma_to = direct && dgamma ? dgamma : static_cast<float*>(scratch(bytes, 1));
    float* beta_to = direct && dbeta ? dbeta : static_cast<float*>(scratch(bytes, 2));
    float* x_to = dx ? dx : static_cast<float*>(scratch(static_cast<std::size_t>(d.rows) * bytes, 3));
    plan.primitive.execute(dnnl_stream(),
                           {{DNNL_ARG_SRC, wrap(plan.activation, x)},
                            {DNNL_ARG_DIFF_DST, wrap(plan.activation, dy)},
                            {DNNL_ARG_SCALE, wrap(plan.channels, gamma)},
                            // oneDNN 2.6 counts the shift among the inputs of this pass and never reads it.
                            {DNNL_ARG_SHIFT, wrap(plan.channels, gamma)},
                            {DNNL_ARG_MEAN, wrap(plan.channels, mean)},
                            {DNNL_ARG_VARIANCE, wrap(plan.channels, var)},
                            {DNNL_ARG_DIFF_SRC, wrap(plan.activation, x_to)},
                            {DNNL_ARG_DIFF_SCALE, wrap(plan.channels, gamma_to)},
                            {DNNL_ARG_DIFF_SHIFT, wrap(plan.channels, beta_to)},
                            {DNNL_ARG_SCRATCHPAD, wrap(plan.scratchpad, scratch(plan.scratchpad.get_size(), 0))}});
    if (direct) return;
    if (dgamma) cpu::add_scaled(ctx, d.c, 1.0, gamma_to, 1.0, dgamma, dgamma);
    if (dbeta) cpu::add_scaled(ctx, d.c, 1.0, beta_to, 1.0, dbeta, dbeta);
  });
}

// Double is for checks: it runs the plain loops.
void batch_norm_fwd(const Context& ctx, const Rows& d, double eps, const double* x, const double* gamma,
                    const double* beta, double* y, double* mean, double* var) {
  ref::batch_norm_fwd(ctx, d, eps, x, gamma, beta, y, mean, var);
}
void batch_norm_bwd(const Context& ctx, const Rows& d, double eps, const double* x, const double* dy,
                    const double* gamma, const double* mean, const double* var, double* dx, double* dgamma,
                    double* dbeta, Accum accum) {
  ref::batch_norm_bwd(ctx, d, eps, x, dy, gamma, mean, var, dx, dgamma, dbeta, accum);
}

}  // namespace pen::kernels::cpu
