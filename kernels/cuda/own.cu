// Our own kernels of the library twins: batch norm in training and pooling whole, and the parts of own.h.
#include "kernels/cuda/own.h"

#include "kernels/cuda/exec.cuh"
#include "kernels/cuda/named.h"
#include "kernels/kernels.h"
#include "kernels/shared/conv.inl"
#include "kernels/shared/fold.inl"
#include "kernels/shared/norm_train.inl"
#include "kernels/shared/pool.inl"

namespace pen::kernels::cuda {
namespace own {

template <class real>
void conv2d_fwd(const Context& ctx, const Conv2d& d, const real* x, const real* w, const real* b, wide_t<real>* y) {
  shared::conv2d_fwd<Exec>(ctx, d, x, w, b, y);
}
template <class real>
void conv2d_bwd_data(const Context& ctx, const Conv2d& d, const real* dy, const real* w, wide_t<real>* dx) {
  shared::conv2d_bwd_data<Exec>(ctx, d, dy, w, dx);
}
template <class real>
void conv2d_bwd_weight(const Context& ctx, const Conv2d& d, const real* x, const real* dy, wide_t<real>* dw,
                       Accum accum) {
  shared::conv2d_bwd_weight<Exec>(ctx, d, x, dy, dw, accum);
}
template <class real, class Sums>
void conv_epilogue(const Context& ctx, std::int64_t rows, std::int64_t k, double slope, const Sums* sums,
                   const wide_t<real>* b, const real* residual, bool relu, real* y, std::uint8_t* positive) {
  shared::conv_epilogue<Exec, real>(ctx, rows, k, slope, sums, b, residual, relu, y, positive);
}
template <class real, class Sums>
void add_and_gate(const Context& ctx, std::int64_t n, double slope, const Sums* sums, const real* residual,
                  const std::uint8_t* open, real* dx) {
  shared::add_and_gate<Exec, real>(ctx, n, slope, sums, residual, open, dx);
}
template <class real>
void conv2d_bwd_mask(const Context& ctx, const Conv2d& d, std::int64_t scale, const real* dy_in, const real* dy_out,
                     const real* w, const wide_t<real>* x, wide_t<real>* dm) {
  shared::conv2d_bwd_mask<Exec>(ctx, d, scale, dy_in, dy_out, w, x, dm);
}
template <class real>
void mask_of_data(const Context& ctx, const MaskCells& d, std::int64_t c, const wide_t<real>* x, const real* dx,
                  wide_t<real>* dm) {
  shared::mask_of_data<Exec>(ctx, d, c, x, dx, dm);
}
template <class real>
void weights_channels_last(const Context& ctx, std::int64_t k, std::int64_t c, std::int64_t area, const real* w,
                           real* out) {
  shared::weights_channels_last<Exec>(ctx, k, c, area, w, out);
}
template <class real>
void weights_channels_first(const Context& ctx, std::int64_t k, std::int64_t c, std::int64_t area, const real* w,
                            wide_t<real>* out, Accum accum) {
  shared::weights_channels_first<Exec>(ctx, k, c, area, w, out, accum);
}
template <class real>
void fold_pixels(const Context& ctx, const Conv2d& d, const real* x, real* out) {
  shared::fold_pixels<Exec>(ctx, d, x, out);
}
template <class real>
void fold_weights(const Context& ctx, const Conv2d& d, const real* w, real* out) {
  shared::fold_weights<Exec>(ctx, d, w, out);
}
template <class real>
void unfold_weights(const Context& ctx, const Conv2d& d, const real* from, wide_t<real>* dw, Accum accum) {
  shared::unfold_weights<Exec>(ctx, d, from, dw, accum);
}
template <class real>
void unfold_pixels(const Context& ctx, const Conv2d& d, const real* from, real* dx) {
  shared::unfold_pixels<Exec>(ctx, d, from, dx);
}
template <class real>
void mask_of_folded(const Context& ctx, const Conv2d& d, std::int64_t scale, const wide_t<real>* x, const real* dx,
                    wide_t<real>* dm) {
  shared::mask_of_folded<Exec>(ctx, d, scale, x, dx, dm);
}

#define PEN_AFTER(T, Sums)                                                                              \
  template void conv_epilogue<T, Sums>(const Context&, std::int64_t, std::int64_t, double, const Sums*, \
                                       const wide_t<T>*, const T*, bool, T*, std::uint8_t*);            \
  template void add_and_gate<T, Sums>(const Context&, std::int64_t, double, const Sums*, const T*,      \
                                      const std::uint8_t*, T*);
#define PEN_OWN16(T)                                                                                              \
  PEN_AFTER(T, T)                                                                                                 \
  template void conv2d_fwd<T>(const Context&, const Conv2d&, const T*, const T*, const T*, wide_t<T>*);           \
  template void conv2d_bwd_data<T>(const Context&, const Conv2d&, const T*, const T*, wide_t<T>*);                \
  template void conv2d_bwd_weight<T>(const Context&, const Conv2d&, const T*, const T*, wide_t<T>*, Accum);       \
  template void conv2d_bwd_mask<T>(const Context&, const Conv2d&, std::int64_t, const T*, const T*, const T*,     \
                                   const wide_t<T>*, wide_t<T>*);                                                 \
  template void mask_of_data<T>(const Context&, const MaskCells&, std::int64_t, const wide_t<T>*, const T*,       \
                                wide_t<T>*);                                                                      \
  template void weights_channels_last<T>(const Context&, std::int64_t, std::int64_t, std::int64_t, const T*, T*); \
  template void weights_channels_first<T>(const Context&, std::int64_t, std::int64_t, std::int64_t, const T*,     \
                                          wide_t<T>*, Accum);
PEN_OWN16(float)
PEN_OWN16(double)
PEN_OWN16(bf16)
PEN_AFTER(bf16, float)
PEN_OWN16(f16)
PEN_AFTER(f16, float)
#undef PEN_AFTER
#undef PEN_OWN16

#define PEN_FOLD(T)                                                                            \
  template void fold_pixels<T>(const Context&, const Conv2d&, const T*, T*);                   \
  template void fold_weights<T>(const Context&, const Conv2d&, const T*, T*);                  \
  template void unfold_weights<T>(const Context&, const Conv2d&, const T*, wide_t<T>*, Accum); \
  template void unfold_pixels<T>(const Context&, const Conv2d&, const T*, T*);                 \
  template void mask_of_folded<T>(const Context&, const Conv2d&, std::int64_t, const wide_t<T>*, const T*, wide_t<T>*);
PEN_FOLD(bf16)
PEN_FOLD(f16)
#undef PEN_FOLD

}  // namespace own

#define PEN_DEFINE(T)                                                           \
  void avg_pool_fwd(const Context& ctx, const Pool2d& d, const T* x, T* y) {    \
    named("avg_pool_fwd", [&] { shared::avg_pool_fwd<Exec>(ctx, d, x, y); });   \
  }                                                                             \
  void avg_pool_bwd(const Context& ctx, const Pool2d& d, const T* dy, T* dx) {  \
    named("avg_pool_bwd", [&] { shared::avg_pool_bwd<Exec>(ctx, d, dy, dx); }); \
  }
PEN_DEFINE(float)
PEN_DEFINE(double)
#undef PEN_DEFINE

#define PEN_DEFINE16(T)                                                                                           \
  void batch_norm_fwd(const Context& ctx, const Rows& d, double eps, const T* x, const T* residual,               \
                      const wide_t<T>* gamma, const wide_t<T>* beta, bool relu, T* y, wide_t<T>* mean,            \
                      wide_t<T>* var) {                                                                           \
    named("batch_norm_fwd",                                                                                       \
          [&] { shared::batch_norm_fwd<Exec>(ctx, d, eps, x, residual, gamma, beta, relu, y, mean, var); });      \
  }                                                                                                               \
  void batch_norm_bwd(const Context& ctx, const Rows& d, double eps, const T* x, const T* dy, const T* y,         \
                      const wide_t<T>* gamma, const wide_t<T>* mean, const wide_t<T>* var, T* dx, T* dresidual,   \
                      wide_t<T>* dgamma, wide_t<T>* dbeta, Accum accum) {                                         \
    named("batch_norm_bwd", [&] {                                                                                 \
      shared::batch_norm_bwd<Exec>(ctx, d, eps, x, dy, y, gamma, mean, var, dx, dresidual, dgamma, dbeta, accum); \
    });                                                                                                           \
  }                                                                                                               \
  void max_pool_fwd(const Context& ctx, const Pool2d& d, const T* x, T* y, std::uint8_t* index) {                 \
    named("max_pool_fwd", [&] { shared::max_pool_fwd<Exec>(ctx, d, x, y, index); });                              \
  }                                                                                                               \
  void max_pool_bwd(const Context& ctx, const Pool2d& d, const T* dy, const std::uint8_t* index, T* dx) {         \
    named("max_pool_bwd", [&] { shared::max_pool_bwd<Exec>(ctx, d, dy, index, dx); });                            \
  }
PEN_DEFINE16(float)
PEN_DEFINE16(double)
PEN_DEFINE16(bf16)
PEN_DEFINE16(f16)
#undef PEN_DEFINE16

}  // namespace pen::kernels::cuda
