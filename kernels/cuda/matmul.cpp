// Matrix products on cuBLAS, whose matrices are column-major: ours, read that way, are transposed, so that
// c' = op(b)' op(a)' is asked for.
#include "kernels/cuda/blas_status.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/named.h"
#include "kernels/cuda/status.h"
#include "kernels/kernels.h"

namespace pen::kernels::cuda {
namespace {

template <class T>
void product(const Context& ctx, const Matmul& d, const T* a, const T* b, T* c, Accum accum) {
  constexpr bool single = sizeof(T) == 4;
  const cudaDataType_t type = single ? CUDA_R_32F : CUDA_R_64F;
  const cublasComputeType_t compute = !single                  ? CUBLAS_COMPUTE_64F
                                      : ctx.math == Math::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                               : CUBLAS_COMPUTE_32F;
  Libraries libraries(ctx);
  if (d.m == 0 || d.n == 0) return;
  if (d.k == 0) {
    if (accum == Accum::write)
      PEN_CUDA(cudaMemsetAsync(c, 0, static_cast<std::size_t>(d.m * d.n) * sizeof(T), libraries.stream()));
    return;
  }
  const T one = 1, beta = accum == Accum::add ? T(1) : T(0);
  PEN_CUBLAS(cublasGemmEx_64(libraries.blas(), d.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                             d.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, d.n, d.m, d.k, &one, b, type, d.trans_b ? d.k : d.n,
                             a, type, d.trans_a ? d.m : d.k, &beta, c, type, d.n, compute, CUBLAS_GEMM_DEFAULT));
}

}  // namespace

void matmul(const Context& ctx, const Matmul& d, const float* a, const float* b, float* c, Accum accum) {
  named("matmul", [&] { product(ctx, d, a, b, c, accum); });
}
void matmul(const Context& ctx, const Matmul& d, const double* a, const double* b, double* c, Accum accum) {
  named("matmul", [&] { product(ctx, d, a, b, c, accum); });
}

}  // namespace pen::kernels::cuda
