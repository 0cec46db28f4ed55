// The one matrix product of the plain loops: c (m,n) += a (m,k) b (k,n), strides ld*; a may be stored transposed (k,m).
// Blocks of 4 x 32 stay in registers; each element of c is summed over k in order.
#pragma once

#include <algorithm>
#include <cstdint>

namespace pen::kernels::ref {

template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, std::int64_t lda, bool trans_a, const T* b,
          std::int64_t ldb, T* c, std::int64_t ldc) {
  constexpr std::int64_t mb = 4, nb = 32;
  const std::int64_t ai = trans_a ? 1 : lda, ak = trans_a ? lda : 1;  // strides of a along m and k
  for (std::int64_t j0 = 0; j0 < n; j0 += nb) {
    const std::int64_t nj = std::min(nb, n - j0);
    for (std::int64_t i0 = 0; i0 < m; i0 += mb) {
      const std::int64_t ni = std::min(mb, m - i0);
      T acc[mb][nb] = {};
      if (ni == mb && nj == nb) {
        for (std::int64_t l = 0; l < k; ++l) {
          const T* row = b + l * ldb + j0;
          const T a0 = a[i0 * ai + l * ak], a1 = a[(i0 + 1) * ai + l * ak];
          const T a2 = a[(i0 + 2) * ai + l * ak], a3 = a[(i0 + 3) * ai + l * ak];
          for (std::int64_t j = 0; j < nb; ++j) {
            acc[0][j] += a0 * row[j];
            acc[1][j] += a1 * row[j];
            acc[2][j] += a2 * row[j];
            acc[3][j] += a3 * row[j];
          }
        }
      } else {
        for (std::int64_t l = 0; l < k; ++l)
          for (std::int64_t i = 0; i < ni; ++i)
            for (std::int64_t j = 0; j < nj; ++j) acc[i][j] += a[(i0 + i) * ai + l * ak] * b[l * ldb + j0 + j];
      }
      for (std::int64_t i = 0; i < ni; ++i)
        for (std::int64_t j = 0; j < nj; ++j) c[(i0 + i) * ldc + j0 + j] += acc[i][j];
    }
  }
}

}  // namespace pen::kernels::ref
