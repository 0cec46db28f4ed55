#include <algorithm>
#include <cmath>

#include "tensor/ops_common.h"

namespace pen::ops {
namespace {

// Elementwise operations whose backward reads either the input or the result.
enum class Reads { input, result };

// forward(ctx, n, x, y) and derivative(ctx, n, saved, dy, dx), both generic over float and double.
template <class Forward, class Derivative>
Tensor unary(const char* op, const Tensor& x, Reads reads, Forward forward, Derivative derivative) {
  Tensor y = empty_like(x);
  dispatch(x.dtype(), op,
           [&]<class T>() { forward(context(x.device()), x.numel(), x.data<T>(), y.mutable_data<T>()); });
  if (!needs_grad({&x})) return y;
  record(op, y, {x}, [saved = Saved(reads == Reads::input ? x : y), derivative](Backward& call) {
    const Tensor kept = saved.get(call.operation());
    Tensor dx = empty_like(call.dy());
    dispatch(dx.dtype(), call.operation(), [&]<class T>() {
      derivative(context(dx.device()), dx.numel(), kept.data<T>(), std::as_const(call.dy()).data<T>(),
                 dx.mutable_data<T>());
    });
    call.set(0, std::move(dx));
  });
  return y;
}

#define PEN_UNARY(name, reads)                                           \
  Tensor name(const Tensor& x) {                                         \
    return unary(                                                        \
        #name, x, reads, [](auto&&... a) { kernels::name##_fwd(a...); }, \
        [](auto&&... a) { kernels::name##_bwd(a...); });                 \
  }

}  // namespace

PEN_UNARY(elu, Reads::result)
PEN_UNARY(sigmoid, Reads::result)
PEN_UNARY(tanh, Reads::result)
PEN_UNARY(abs, Reads::input)
PEN_UNARY(square, Reads::input)
PEN_UNARY(reciprocal, Reads::result)
#undef PEN_UNARY

Tensor relu(const Tensor& x) {
  const kernels::ReluRule rule = relu_rule();
  const Reads reads = rule == kernels::ReluRule::guided ? Reads::input : Reads::result;
  return unary(
      "relu", x, reads, [](auto&&... a) { kernels::relu_fwd(a...); },
      [rule](const kernels::Context& ctx, std::int64_t n, const auto* kept, const auto* dy, auto* dx) {
        kernels::relu_bwd(ctx, n, rule, kept, kept, dy, dx);
      });
}

// Apart from the others, because it is also there in 16 bit.
Tensor leaky_relu(const Tensor& x, double slope) {
  Tensor y = empty_like(x);
  dispatch16(x.dtype(), "leaky_relu", [&]<class T>() {
    kernels::leaky_relu_fwd(context(x.device()), x.numel(), slope, x.data<T>(), y.mutable_data<T>());
  });
  if (!needs_grad({&x})) return y;
  record("leaky_relu", y, {x}, [saved = Saved(x), slope](Backward& call) {
    const Tensor kept = saved.get("leaky_relu");
    Tensor dx = empty_like(call.dy());
    dispatch16(dx.dtype(), "leaky_relu", [&]<class T>() {
      kernels::leaky_relu_bwd(context(dx.device()), dx.numel(), slope, kept.data<T>(),
                              std::as_const(call.dy()).data<T>(), dx.mutable_data<T>());
    });
    call.set(0, std::move(dx));
  });
  return y;
}

namespace {

// a x1 + b x2 with the gradients a dy and b dy
Tensor combine(const char* op, double a, const Tensor& x1, double b, const Tensor& x2) {
  check_same(op, x1, x2);
  Tensor y = empty_like(x1);
  dispatch(y.dtype(), op, [&]<class T>() {
    kernels::add_scaled(context(y.device()), y.numel(), a, x1.data<T>(), b, x2.data<T>(), y.mutable_data<T>());
  });
  if (!needs_grad({&x1, &x2})) return y;
  record(op, y, {x1, x2}, [a, b](Backward& call) {
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
      if (!call.wants(i)) continue;
      const double factor = i == 0 ? a : b;
      if (factor == 1.0) {
        call.set(i, call.dy());
        continue;
      }
      Tensor dx = empty_like(call.dy());
      dispatch(dx.dtype(), call.operation(), [&]<class T>() {
        kernels::affine(context(dx.device()), dx.numel(), factor, 0.0, std::as_const(call.dy()).data<T>(),
                        dx.mutable_data<T>());
      });
      call.set(i, std::move(dx));
    }
  });
  return y;
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) { return combine("add", 1, a, 1, b); }
Tensor sub(const Tensor& a, const Tensor& b) { return combine("sub", 1, a, -1, b); }

Tensor mul(const Tensor& a, const Tensor& b) {
  check_same("mul", a, b);
  Tensor y = empty_like(a);
  dispatch(y.dtype(), "mul", [&]<class T>() {
    kernels::mul(context(y.device()), y.numel(), a.data<T>(), b.data<T>(), y.mutable_data<T>());
  });
  if (!needs_grad({&a, &b})) return y;
  record("mul", y, {a, b},
         [sa = Saved(b.requires_grad() ? a : Tensor()), sb = Saved(a.requires_grad() ? b : Tensor())](Backward& call) {
           for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
             if (!call.wants(i)) continue;
             const Tensor other = (i == 0 ? sb : sa).get("mul");
             Tensor dx = empty_like(call.dy());
             dispatch(dx.dtype(), "mul", [&]<class T>() {
               kernels::mul(context(dx.device()), dx.numel(), other.data<T>(), std::as_const(call.dy()).data<T>(),
                            dx.mutable_data<T>());
             });
             call.set(i, std::move(dx));
           }
         });
  return y;
}

Tensor affine(const Tensor& x, double a, double b) {
  Tensor y = empty_like(x);
  dispatch(y.dtype(), "affine",
           [&]<class T>() { kernels::affine(context(y.device()), y.numel(), a, b, x.data<T>(), y.mutable_data<T>()); });
  if (!needs_grad({&x})) return y;
  record("affine", y, {x}, [a](Backward& call) {
    Tensor dx = empty_like(call.dy());
    dispatch(dx.dtype(), "affine", [&]<class T>() {
      kernels::affine(context(dx.device()), dx.numel(), a, 0.0, std::as_const(call.dy()).data<T>(),
                      dx.mutable_data<T>());
    });
    call.set(0, std::move(dx));
  });
  return y;
}

Tensor scale_by(const Tensor& x, const Tensor& s) {
  PEN_CHECK(s.numel() == 1 && s.dtype() == x.dtype(), "scale_by: s has shape ", to_string(s.shape()));
  Tensor y = empty_like(x);
  dispatch(y.dtype(), "scale_by", [&]<class T>() {
    kernels::scale_by(context(y.device()), y.numel(), x.data<T>(), s.data<T>(), y.mutable_data<T>());
  });
  if (!needs_grad({&x, &s})) return y;
  record("scale_by", y, {x, s},
         [sx = Saved(s.requires_grad() ? x : Tensor()), ss = Saved(s), shape = s.shape()](Backward& call) {
           dispatch(call.dy().dtype(), "scale_by", [&]<class T>() {
             const Tensor& dy = call.dy();
             const kernels::Context ctx = context(dy.device());
             if (call.wants(1)) {
               const Tensor kept = sx.get("scale_by");
               Tensor ds = empty_with(dy, shape);
               kernels::sum_columns(ctx, 1, dy.numel(), 1.0, kept.data<T>(), dy.data<T>(), ds.mutable_data<T>());
               call.set(1, std::move(ds));
             }
             if (call.wants(0)) {
               const Tensor kept = ss.get("scale_by");
               Tensor dx = empty_like(dy);
               kernels::scale_by(ctx, dx.numel(), dy.data<T>(), kept.data<T>(), dx.mutable_data<T>());
               call.set(0, std::move(dx));
             }
           });
         });
  return y;
}

namespace {

// scale * sum over all but the first dimension of (rows, cols) -> (rows), or one element
Tensor sum_rows(const char* op, const Tensor& x, std::int64_t rows, double scale, Shape shape) {
  const std::int64_t cols = rows ? x.numel() / rows : 0;
  Tensor y = empty_with(x, std::move(shape));
  dispatch(x.dtype(), op, [&]<class T>() {
    kernels::sum_columns(context(x.device()), rows, cols, scale, x.data<T>(), static_cast<const T*>(nullptr),
                         y.mutable_data<T>());
  });
  if (!needs_grad({&x})) return y;
  record(op, y, {x}, [rows, cols, scale, x_shape = x.shape()](Backward& call) {
    Tensor dx = empty_with(call.dy(), x_shape);
    dispatch(dx.dtype(), call.operation(), [&]<class T>() {
      kernels::spread_middle(context(dx.device()), rows, cols, 1, scale, std::as_const(call.dy()).data<T>(),
                             dx.mutable_data<T>());
    });
    call.set(0, std::move(dx));
  });
  return y;
}

}  // namespace

Tensor sum(const Tensor& x) { return sum_rows("sum", x, 1, 1.0, {}); }

Tensor mean(const Tensor& x) {
  PEN_CHECK(x.numel() > 0, "mean of no elements");
  return sum_rows("mean", x, 1, 1.0 / static_cast<double>(x.numel()), {});
}

Tensor mean_per_image(const Tensor& x) {
  PEN_CHECK(x.numel() > 0, "mean_per_image of no elements");
  return sum_rows("mean_per_image", x, x.size(0), static_cast<double>(x.size(0)) / static_cast<double>(x.numel()),
                  {x.size(0)});
}

Tensor reshape(const Tensor& x, Shape shape) {
  Tensor y = x.view(std::move(shape));
  if (!needs_grad({&x})) return y;
  record("reshape", y, {x}, [from = x.shape()](Backward& call) { call.set(0, call.dy().view(from)); });
  return y;
}

Tensor slice_batch(const Tensor& x, std::int64_t begin, std::int64_t count) {
  PEN_CHECK(begin >= 0 && count >= 0 && begin + count <= x.size(0), "slice_batch: images ", begin, "..", begin + count,
            " of ", x.size(0));
  Shape shape = x.shape();
  const std::int64_t each = x.size(0) ? x.numel() / x.size(0) : 0;
  shape[0] = count;
  Tensor y = empty_with(x, shape);
  dispatch(x.dtype(), "slice_batch", [&]<class T>() {
    kernels::copy(context(x.device()), count * each, x.data<T>() + begin * each, y.mutable_data<T>());
  });
  if (!needs_grad({&x})) return y;
  record("slice_batch", y, {x}, [begin, count, each, from = x.shape()](Backward& call) {
    Tensor dx = Tensor::zeros(from, call.dy().dtype(), call.dy().device());
    dispatch(dx.dtype(), "slice_batch", [&]<class T>() {
      kernels::copy(context(dx.device()), count * each, std::as_const(call.dy()).data<T>(),
                    dx.mutable_data<T>() + begin * each);
    });
    call.set(0, std::move(dx));
  });
  return y;
}

Tensor concat_batch(const std::vector<Tensor>& parts) {
  PEN_CHECK(!parts.empty(), "concat_batch: no parts");
  std::vector<std::int64_t> sizes;
  Shape shape = parts[0].shape();
  shape[0] = 0;
  for (const Tensor& p : parts) {
    Shape a = p.shape(), b = parts[0].shape();
    a[0] = b[0] = 0;
    PEN_CHECK(a == b && p.dtype() == parts[0].dtype(), "concat_batch: ", to_string(parts[0].shape()), " and ",
              to_string(p.shape()), " differ in more than images");
    shape[0] += p.size(0);
    sizes.push_back(p.size(0));
  }
  Tensor y = empty_with(parts[0], shape);
  const std::int64_t each = shape[0] ? y.numel() / shape[0] : 0;
  dispatch(y.dtype(), "concat_batch", [&]<class T>() {
    std::int64_t at = 0;
    for (const Tensor& p : parts) {
      kernels::copy(context(y.device()), p.numel(), p.data<T>(), y.mutable_data<T>() + at * each);
      at += p.size(0);
    }
  });
  if (!needs_grad(parts)) return y;
  record("concat_batch", y, parts, [sizes, each, shape](Backward& call) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < sizes.size(); at += sizes[i++]) {
      if (!call.wants(i)) continue;
      Shape part = shape;
      part[0] = sizes[i];
      Tensor dx = empty_with(call.dy(), part);
      dispatch(dx.dtype(), "concat_batch", [&]<class T>() {
        kernels::copy(context(dx.device()), dx.numel(), std::as_const(call.dy()).data<T>() + at * each,
                      dx.mutable_data<T>());
      });
      call.set(i, std::move(dx));
    }
  });
  return y;
}

Tensor step(const Tensor& x, double threshold) {
  Tensor y = empty_like(x);
  dispatch(x.dtype(), "step", [&]<class T>() {
    kernels::step_at(context(x.device()), x.numel(), threshold, x.data<T>(), y.mutable_data<T>());
  });
  return y;
}

Tensor round_straight_through(const Tensor& x, double threshold) {
  Tensor y = step(x, threshold);
  if (needs_grad({&x})) record("round_straight_through", y, {x}, [](Backward& call) { call.set(0, call.dy()); });
  return y;
}

Tensor logistic_noise(const Shape& shape, DType dtype, Device device, Rng& rng) {
  Tensor y = Tensor::empty(shape, dtype, device);
  const std::uint64_t first = rng.reserve(static_cast<std::uint64_t>(y.numel()));
  dispatch(dtype, "logistic_noise", [&]<class T>() {
    kernels::logistic_noise(context(device), y.numel(), rng.seed(), rng.stream(), first, y.mutable_data<T>());
  });
  return y;
}

}  // namespace pen::ops
