// Windows, permutations and filters along one dimension; each output element is gathered.
#pragma once

#include "kernels/shared/math.inl"

namespace pen::kernels::shared {

template <class Exec, class real>
void window2d(const Context& ctx, const Window2d& d, const real* x, real* y) {
  Exec(ctx).grid(d.n * d.p * d.q, d.c, [=] PEN_HD(index_t r, index_t c) {
    const index_t w = r % d.q - d.left, h = r / d.q % d.p - d.top, n = r / d.q / d.p;
    const bool inside = h >= 0 && h < d.h && w >= 0 && w < d.w;
    y[r * d.c + c] = inside ? x[((n * d.h + h) * d.w + w) * d.c + c] : real(0);
  });
}

template <class Exec, class real>
void permute4(const Context& ctx, const Permute4& d, const real* x, real* y) {
  const index_t size[4] = {d.sizes[d.order[0]], d.sizes[d.order[1]], d.sizes[d.order[2]], d.sizes[d.order[3]]};
  const index_t stride[4] = {d.sizes[1] * d.sizes[2] * d.sizes[3], d.sizes[2] * d.sizes[3], d.sizes[3], 1};
  const index_t s0 = stride[d.order[0]], s1 = stride[d.order[1]], s2 = stride[d.order[2]], s3 = stride[d.order[3]];
  const index_t n1 = size[1], n2 = size[2], n3 = size[3];
  Exec(ctx).grid(size[0] * n1 * n2, n3, [=] PEN_HD(index_t r, index_t i) {
    y[r * n3 + i] = x[r / n2 / n1 * s0 + r / n2 % n1 * s1 + r % n2 * s2 + i * s3];
  });
}

template <class Exec, class real>
void filter_middle(const Context& ctx, index_t outer, index_t length, index_t inner, index_t radius, const real* x,
                   const real* taps, real* y) {
  Exec(ctx).grid(outer * length, inner, [=] PEN_HD(index_t r, index_t k) {
    const index_t i = r % length, o = r / length;
    const index_t first = i - radius < 0 ? radius - i : 0;
    const index_t last = i + radius < length ? 2 * radius : length - 1 - i + radius;
    double sum = 0;
    for (index_t t = first; t <= last; ++t)
      sum += static_cast<double>(taps[t]) * static_cast<double>(x[(o * length + i + t - radius) * inner + k]);
    y[r * inner + k] = static_cast<real>(sum);
  });
}

}  // namespace pen::kernels::shared
