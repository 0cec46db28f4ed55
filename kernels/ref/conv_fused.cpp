// Convolutions of frozen networks, as plain loops around the plain convolutions.
#include <algorithm>
#include <vector>

#include "kernels/kernels.h"

namespace pen::kernels::ref {
namespace {

using std::int64_t;

template <class T>
void forward(const Context& ctx, const Conv2d& d, const T* x, const T* w, const T* b, const T* residual, bool relu,
             T* y, std::uint8_t* positive) {
  std::vector<T> sums(static_cast<std::size_t>(d.n * d.p * d.q * d.k));
  ref::conv2d_fwd(ctx, d, x, w, b, sums.data());
  if (positive) std::fill_n(positive, bit_bytes(d.n * d.p * d.q * d.k), std::uint8_t{0});
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const T v = residual ? sums[i] + residual[i] : sums[i];
    y[i] = relu && v < T(0) ? T(0) : v;
    if (positive && y[i] > T(0)) positive[i / 8] |= static_cast<std::uint8_t>(1u << i % 8);
  }
}

template <class T>
void backward_data(const Context& ctx, const Conv2d& d, const T* dy, const T* w, const T* residual,
                   const std::uint8_t* open, T* dx) {
  std::vector<T> sums(static_cast<std::size_t>(d.n * d.h * d.w * d.c));
  ref::conv2d_bwd_data(ctx, d, dy, w, sums.data());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const T v = residual ? sums[i] + residual[i] : sums[i];
    dx[i] = !open || (open[i / 8] >> i % 8 & 1) ? v : T(0);
  }
}

template <class T>
void backward_mask(const Context& ctx, const Conv2d& d, const T* dy_in, const T* dy_out, const T* w, const T* x,
                   T* dm) {
  std::vector<T> in(static_cast<std::size_t>(d.n * d.h * d.w * d.c)), out(in.size());
  ref::conv2d_bwd_data(ctx, d, dy_in, w, in.data());
  ref::conv2d_bwd_data(ctx, d, dy_out, w, out.data());
  for (int64_t i = 0; i < d.n * d.h * d.w; ++i) {
    double sum = 0;
    for (int64_t c = 0; c < d.c; ++c) {
      const auto at = static_cast<std::size_t>(i * d.c + c);
      sum += (static_cast<double>(in[at]) - static_cast<double>(out[at])) * static_cast<double>(x[i * d.c + c]);
    }
    dm[i] = static_cast<T>(sum);
  }
}

}  // namespace

#define PEN_DEFINE(T)                                                                                                \
  void conv2d_fused_fwd(const Context& ctx, const Conv2d& d, const T* x, const T* w, const T* b, const T* residual,  \
                        bool relu, T* y, std::uint8_t* positive) {                                                   \
    forward(ctx, d, x, w, b, residual, relu, y, positive);                                                           \
  }                                                                                                                  \
  void conv2d_fused_bwd_data(const Context& ctx, const Conv2d& d, const T* dy, const T* w, const T* residual,        \
                             const std::uint8_t* open, T* dx) {                                                      \
    backward_data(ctx, d, dy, w, residual, open, dx);                                                                \
  }                                                                                                                  \
  void conv2d_bwd_mask(const Context& ctx, const Conv2d& d, const T* dy_in, const T* dy_out, const T* w, const T* x, \
                       T* dm) {                                                                                      \
    backward_mask(ctx, d, dy_in, dy_out, w, x, dm);                                                                  \
  }
PEN_DEFINE(float)
PEN_DEFINE(double)
#undef PEN_DEFINE

}  // namespace pen::kernels::ref
