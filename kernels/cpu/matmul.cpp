// Matrix products on oneDNN's row-major sgemm.
#include "kernels/cpu/dnnl_common.h"
#include "kernels/kernels.h"

namespace pen::kernels::cpu {

void matmul(const Context& ctx, const Matmul& d, const float* a, const float* b, float* c, Accum accum) {
  if (d.m == 0 || d.n == 0) return;
  if (d.k == 0) {
    if (accum == Accum::write) cpu::fill(ctx, d.m * d.n, 0.0, c);
    return;
  }
  const dnnl_status_t status =
      dnnl_sgemm(d.trans_a ? 'T' : 'N', d.trans_b ? 'T' : 'N', d.m, d.n, d.k, 1.0f, a, d.trans_a ? d.m : d.k, b,
                 d.trans_b ? d.k : d.n, accum == Accum::add ? 1.0f : 0.0f, c, d.n);
  PEN_CHECK(status == dnnl_success, "matmul: oneDNN's sgemm reports status ", static_cast<int>(status), " for ", d.m,
            "x", d.k, " times ", d.k, "x", d.n);
}

// Double is for checks: it runs the plain loops.
void matmul(const Context& ctx, const Matmul& d, const double* a, const double* b, double* c, Accum accum) {
  ref::matmul(ctx, d, a, b, c, accum);
}

}  // namespace pen::kernels::cpu
