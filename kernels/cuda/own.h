// Kernels of ours that the library twins are made of, beside the library: float, double and 16 bit (own.cu). Their
// bodies are the single-source ones of shared/conv.inl and shared/fold.inl, where they are described.
#pragma once

#include "kernels/types.h"

namespace pen::kernels::cuda::own {

// Convolutions without a library, slow: for double, and for what cuDNN has no engine for.
template <class real>
void conv2d_fwd(const Context& ctx, const Conv2d& d, const real* x, const real* w, const real* b, wide_t<real>* y);
template <class real>
void conv2d_bwd_data(const Context& ctx, const Conv2d& d, const real* dy, const real* w, wide_t<real>* dx);
template <class real>
void conv2d_bwd_weight(const Context& ctx, const Conv2d& d, const real* x, const real* dy, wide_t<real>* dw,
                       Accum accum);

// What follows a convolution's sums, which are wide where we made them and `real` where a library did.
template <class real, class Sums>
void conv_epilogue(const Context& ctx, std::int64_t rows, std::int64_t k, double slope, const Sums* sums,
                   const wide_t<real>* b, const real* residual, bool relu, real* y, std::uint8_t* positive);
template <class real, class Sums>
void add_and_gate(const Context& ctx, std::int64_t n, double slope, const Sums* sums, const real* residual,
                  const std::uint8_t* open, real* dx);

// The mask's gradient (kernels.def) without a library, and from a library's data gradient of dy_in - dy_out.
template <class real>
void conv2d_bwd_mask(const Context& ctx, const Conv2d& d, std::int64_t scale, const real* dy_in, const real* dy_out,
                     const real* w, const wide_t<real>* x, wide_t<real>* dm);
template <class real>
void mask_of_data(const Context& ctx, const MaskCells& d, std::int64_t c, const wide_t<real>* x, const real* dx,
                  wide_t<real>* dm);

// Weights from ours (K,C,area) to cuDNN's (K,area,C) and back.
template <class real>
void weights_channels_last(const Context& ctx, std::int64_t k, std::int64_t c, std::int64_t area, const real* w,
                           real* out);
template <class real>
void weights_channels_first(const Context& ctx, std::int64_t k, std::int64_t c, std::int64_t area, const real* w,
                            wide_t<real>* out, Accum accum);

// Few channels of stride 2 folded to sixteen of stride 1, and back: 16 bit only.
template <class real>
void fold_pixels(const Context& ctx, const Conv2d& d, const real* x, real* out);
template <class real>
void fold_weights(const Context& ctx, const Conv2d& d, const real* w, real* out);
template <class real>
void unfold_weights(const Context& ctx, const Conv2d& d, const real* from, wide_t<real>* dw, Accum accum);
template <class real>
void unfold_pixels(const Context& ctx, const Conv2d& d, const real* from, real* dx);
template <class real>
void mask_of_folded(const Context& ctx, const Conv2d& d, std::int64_t scale, const wide_t<real>* x, const real* dx,
                    wide_t<real>* dm);

}  // namespace pen::kernels::cuda::own
