// Convolutions of frozen networks, as plain loops around the plain convolutions.
#include <algorithm>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/shared/math.inl"

namespace pen::kernels::ref {
namespace {

using std::int64_t;

// The plain convolutions know the wide types only; what is made wider is exact.
template <class T>
std::vector<wide_t<T>> widened(int64_t n, const T* x) {
  return {x, x + n};
}

int64_t size_of_x(const Conv2d& d) { return d.n * d.h * d.w * d.c; }
int64_t size_of_y(const Conv2d& d) { return d.n * d.p * d.q * d.k; }
int64_t size_of_w(const Conv2d& d) { return d.k * (d.c / d.groups) * d.r * d.s; }

template <class T>
void forward(const Context& ctx, const Conv2d& d, const T* x, const T* w, const wide_t<T>* b, const T* residual,
             bool relu, T* y, std::uint8_t* positive) {
  using wide = wide_t<T>;
  const auto slope = static_cast<wide>(d.relu_slope);
  std::vector<wide> sums(static_cast<std::size_t>(size_of_y(d)));
  ref::conv2d_fwd(ctx, d, widened(size_of_x(d), x).data(), widened(size_of_w(d), w).data(), b, sums.data());
  if (positive) std::fill_n(positive, bit_bytes(size_of_y(d)), std::uint8_t{0});
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const wide v = residual ? sums[i] + residual[i] : sums[i];
    y[i] = static_cast<T>(relu ? shared::rectified(v, slope) : v);
    if (positive && y[i] > wide(0)) positive[i / 8] |= static_cast<std::uint8_t>(1u << i % 8);
  }
}

template <class T>
void backward_data(const Context& ctx, const Conv2d& d, const T* dy, const T* w, const T* residual,
                   const std::uint8_t* open, T* dx) {
  using wide = wide_t<T>;
  const auto slope = static_cast<wide>(d.relu_slope);
  std::vector<wide> sums(static_cast<std::size_t>(size_of_x(d)));
  ref::conv2d_bwd_data(ctx, d, widened(size_of_y(d), dy).data(), widened(size_of_w(d), w).data(), sums.data());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const wide v = residual ? sums[i] + residual[i] : sums[i];
    dx[i] = static_cast<T>(shared::gated(v, !open || (open[i / 8] >> i % 8 & 1), slope));
  }
}

template <class T>
void backward_mask(const Context& ctx, const Conv2d& d, int64_t scale, const T* dy_in, const T* dy_out, const T* w,
                   const wide_t<T>* x, wide_t<T>* dm) {
  std::vector<wide_t<T>> in(static_cast<std::size_t>(size_of_x(d))), out(in.size());
  const auto weights = widened(size_of_w(d), w);
  ref::conv2d_bwd_data(ctx, d, widened(size_of_y(d), dy_in).data(), weights.data(), in.data());
  ref::conv2d_bwd_data(ctx, d, widened(size_of_y(d), dy_out).data(), weights.data(), out.data());
  std::vector<double> sums(static_cast<std::size_t>(d.n * (d.h / scale) * (d.w / scale)));
  for (std::size_t i = 0; i < in.size(); ++i) {
    const auto pixel = static_cast<int64_t>(i) / d.c, row = pixel / d.w, col = pixel % d.w;
    sums[static_cast<std::size_t>(row / scale * (d.w / scale) + col / scale)] +=
        (static_cast<double>(in[i]) - static_cast<double>(out[i])) * static_cast<double>(x[i]);
  }
  for (std::size_t i = 0; i < sums.size(); ++i) dm[i] = static_cast<wide_t<T>>(sums[i]);
}

}  // namespace

#define PEN_DEFINE(T)                                                                                         \
  void conv2d_fused_fwd(const Context& ctx, const Conv2d& d, const T* x, const T* w, const wide_t<T>* b,      \
                        const T* residual, bool relu, T* y, std::uint8_t* positive) {                         \
    forward(ctx, d, x, w, b, residual, relu, y, positive);                                                    \
  }                                                                                                           \
  void conv2d_fused_bwd_data(const Context& ctx, const Conv2d& d, const T* dy, const T* w, const T* residual, \
                             const std::uint8_t* open, T* dx) {                                               \
    backward_data(ctx, d, dy, w, residual, open, dx);                                                         \
  }                                                                                                           \
  void conv2d_bwd_mask(const Context& ctx, const Conv2d& d, int64_t scale, const T* dy_in, const T* dy_out,   \
                       const T* w, const wide_t<T>* x, wide_t<T>* dm) {                                       \
    backward_mask(ctx, d, scale, dy_in, dy_out, w, x, dm);                                                    \
  }
PEN_DEFINE(float)
PEN_DEFINE(double)
PEN_DEFINE(bf16)
PEN_DEFINE(f16)
#undef PEN_DEFINE

}  // namespace pen::kernels::ref
