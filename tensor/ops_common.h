// What the definitions of operations share.
#pragma once

#include "kernels/kernels.h"
#include "tensor/ops.h"

namespace pen::ops {

inline Tensor empty_like(const Tensor& x) { return Tensor::empty(x.shape(), x.dtype(), x.device()); }
inline Tensor empty_with(const Tensor& x, Shape shape) {
  return Tensor::empty(std::move(shape), x.dtype(), x.device());
}

// The gradient's memory where nobody else reads it, else new memory.
inline Tensor reuse(Tensor& dy) { return dy.unique() ? dy : empty_like(dy); }

inline void check_same(const char* op, const Tensor& a, const Tensor& b) {
  PEN_CHECK(a.shape() == b.shape() && a.dtype() == b.dtype() && a.device() == b.device(), op, ": ",
            to_string(a.shape()), " ", name_of(a.dtype()), " on ", name_of(a.device()), " and ", to_string(b.shape()),
            " ", name_of(b.dtype()), " on ", name_of(b.device()), " must agree");
}

inline void check_dims(const char* op, const char* what, const Shape& x, std::size_t dims) {
  PEN_CHECK(x.size() == dims, op, ": ", what, " has shape ", to_string(x), ", expected ", dims, " dimensions");
}
inline void check_dims(const char* op, const char* what, const Tensor& x, std::size_t dims) {
  check_dims(op, what, x.shape(), dims);
}

inline std::int64_t rows_of(const Tensor& x) { return x.size(-1) == 0 ? 0 : x.numel() / x.size(-1); }

// The checked dimensions of an operation `op` on x (N,H,W,C) and w (K,C/groups,R,S): what kernels are called with.
// Weights that are not trained get a key, so that kernels may keep a packed copy.
kernels::Conv2d conv_dims(const char* op, const Tensor& x, const Tensor& w, const ConvOptions& o);
// Of a mask m beside images x (see mask_in); any other m: an Error of this operation.
kernels::MaskCells mask_cells(const char* op, const Tensor& x, const Tensor& m);
kernels::Conv2d conv_dims(const char* op, const Shape& x, const Tensor& w, const ConvOptions& o);
kernels::Pool2d pool_dims(const char* op, const Shape& x, const PoolOptions& o);
inline kernels::Pool2d pool_dims(const char* op, const Tensor& x, const PoolOptions& o) {
  return pool_dims(op, x.shape(), o);
}

}  // namespace pen::ops
