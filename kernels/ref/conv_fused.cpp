// Convolutions of frozen networks, as plain loops around the plain convolutions.
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
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const T v = residual ? sums[i] + residual[i] : sums[i];
    y[i] = relu && v < T(0) ? T(0) : v;
    if (positive) positive[i] = y[i] > T(0);
  }
}

template <class T>
void backward_data(const Context& ctx, const Conv2d& d, const T* dy, const T* w, const T* residual,
                   const std::uint8_t* open, T* dx) {
  std::vector<T> sums(static_cast<std::size_t>(d.n * d.h * d.w * d.c));
  ref::conv2d_bwd_data(ctx, d, dy, w, sums.data());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const T v = residual ? sums[i] + residual[i] : sums[i];
    dx[i] = !open || open[i] ? v : T(0);
  }
}

}  // namespace

#define PEN_DEFINE(T)                                                                                               \
  void conv2d_fused_fwd(const Context& ctx, const Conv2d& d, const T* x, const T* w, const T* b, const T* residual, \
                        bool relu, T* y, std::uint8_t* positive) {                                                  \
    forward(ctx, d, x, w, b, residual, relu, y, positive);                                                          \
  }                                                                                                                 \
  void conv2d_fused_bwd_data(const Context& ctx, const Conv2d& d, const T* dy, const T* w, const T* residual,       \
                             const std::uint8_t* open, T* dx) {                                                     \
    backward_data(ctx, d, dy, w, residual, open, dx);                                                               \
  }
PEN_DEFINE(float)
PEN_DEFINE(double)
#undef PEN_DEFINE

}  // namespace pen::kernels::ref
