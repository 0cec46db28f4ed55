#include "layers/narrowed.h"

#include "kernels/kernels.h"

namespace pen {

Tensor Narrowed::of(const Tensor& w, DType type) {
  if (!is_16_bit(type)) return {};
  const bool same =
      copy_.defined() && copy_.dtype() == type && copy_.shape() == w.shape() && copy_.device() == w.device();
  if (same && storage_ == w.storage_id() && version_ == w.version()) return copy_;
  storage_ = w.storage_id(), version_ = w.version();
  // Into the same memory where no graph holds it: what kernels keep of weights goes by its name.
  if (!same || !copy_.unique()) return copy_ = w.detach().to(type);
  dispatch16(type, "conv2d", [&]<class T>() {
    kernels::narrow(context(w.device()), w.numel(), w.data<wide_t<T>>(), copy_.mutable_data<T>());
  });
  return copy_;
}

}  // namespace pen
