#include <algorithm>

#include "tensor/ops_common.h"

namespace pen::ops {
namespace {

Tensor window(const Tensor& x, const kernels::Window2d& d) {
  Tensor y = empty_with(x, {d.n, d.p, d.q, d.c});
  dispatch(x.dtype(), "pad2d",
           [&]<class T>() { kernels::window2d(context(x.device()), d, x.data<T>(), y.mutable_data<T>()); });
  return y;
}

Tensor permuted(const Tensor& x, const std::array<int, 4>& order) {
  kernels::Permute4 d{};
  Shape shape(4);
  for (std::size_t i = 0; i < 4; ++i) {
    d.sizes[i] = x.shape()[i];
    d.order[i] = order[i];
    shape[i] = x.shape()[static_cast<std::size_t>(order[i])];
  }
  Tensor y = empty_with(x, shape);
  dispatch(x.dtype(), "permute",
           [&]<class T>() { kernels::permute4(context(x.device()), d, x.data<T>(), y.mutable_data<T>()); });
  return y;
}

Tensor filtered(const Tensor& x, const Tensor& taps) {
  const std::int64_t n = x.size(0), h = x.size(1), w = x.size(2), c = x.size(3), radius = taps.numel() / 2;
  Tensor rows = empty_like(x), y = empty_like(x);
  dispatch(x.dtype(), "filter_separable", [&]<class T>() {
    const kernels::Context ctx = context(x.device());
    kernels::filter_middle(ctx, n * h, w, c, radius, x.data<T>(), taps.data<T>(), rows.mutable_data<T>());
    kernels::filter_middle(ctx, n, h, w * c, radius, std::as_const(rows).data<T>(), taps.data<T>(),
                           y.mutable_data<T>());
  });
  return y;
}

Tensor reversed(const Tensor& taps) {
  const Tensor t = taps.to(Device{});
  Tensor out = empty_like(t);
  dispatch(t.dtype(), "filter_separable", [&]<class T>() {
    const T* from = t.data<T>();
    std::reverse_copy(from, from + t.numel(), out.mutable_data<T>());
  });
  return out.to(taps.device());
}

}  // namespace

Tensor pad2d(const Tensor& x, std::int64_t top, std::int64_t bottom, std::int64_t left, std::int64_t right) {
  check_dims("pad2d", "x", x, 4);
  const kernels::Window2d d{
      x.size(0), x.size(1), x.size(2), x.size(3), x.size(1) + top + bottom, x.size(2) + left + right, top, left};
  PEN_CHECK(d.p >= 1 && d.q >= 1, "pad2d: ", to_string(x.shape()), " with ", top, ", ", bottom, ", ", left, ", ", right,
            " rows and columns added has no pixels");
  Tensor y = window(x, d);
  if (!needs_grad({&x})) return y;
  record("pad2d", y, {x}, [d](Backward& call) {
    call.set(0, window(call.dy(), {d.n, d.p, d.q, d.c, d.h, d.w, -d.top, -d.left}));
  });
  return y;
}

Tensor permute(const Tensor& x, const std::array<int, 4>& order) {
  check_dims("permute", "x", x, 4);
  std::array<int, 4> inverse{-1, -1, -1, -1};
  for (int i = 0; i < 4; ++i) {
    const int from = order[static_cast<std::size_t>(i)];
    PEN_CHECK(from >= 0 && from < 4 && inverse[static_cast<std::size_t>(from)] < 0, "permute: the order ", order[0],
              ", ", order[1], ", ", order[2], ", ", order[3], " does not name each dimension once");
    inverse[static_cast<std::size_t>(from)] = i;
  }
  Tensor y = permuted(x, order);
  if (!needs_grad({&x})) return y;
  record("permute", y, {x}, [inverse](Backward& call) { call.set(0, permuted(call.dy(), inverse)); });
  return y;
}

Tensor filter_separable(const Tensor& x, const Tensor& taps) {
  check_dims("filter_separable", "x", x, 4);
  check_dims("filter_separable", "taps", taps, 1);
  PEN_CHECK(taps.numel() % 2 == 1 && taps.dtype() == x.dtype() && taps.device() == x.device() && !taps.requires_grad(),
            "filter_separable: taps ", to_string(taps.shape()), " ", name_of(taps.dtype()),
            " must be an odd number of constants of the type and on the device of x");
  Tensor y = filtered(x, taps);
  if (!needs_grad({&x})) return y;
  record("filter_separable", y, {x}, [saved = Saved(taps)](Backward& call) {
    call.set(0, filtered(call.dy(), reversed(saved.get("filter_separable"))));
  });
  return y;
}

}  // namespace pen::ops
