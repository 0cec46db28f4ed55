// Convolutions and the linear layer.
#include "tensor/ops_common.h"

namespace pen::ops {
namespace {

thread_local bool winograd_allowed = false;

// A name for the contents of the weights, so that kernels may keep a packed copy. Trained weights change once or twice
// in a step that reads them up to seven times; on a GPU they have no name. Neither have weights that were computed:
// they will not come again.
void name_weights(const Tensor& w, kernels::Conv2d& d) {
  if (w.impl()->node || (w.requires_grad() && w.device().is_cuda())) return;
  d.weight_key = (w.storage_id() << 24) ^ (w.version() & 0xffffff);
  d.weight_owner = w.storage_id();
}

std::int64_t conv_output(std::int64_t size, std::int64_t kernel, const ConvOptions& o) {
  return (size + 2 * o.pad - o.dilation * (kernel - 1) - 1) / o.stride + 1;
}

void bias_gradient(Backward& call, std::size_t input, std::int64_t channels) {
  if (!call.wants(input)) return;
  // No structured binding here and below: clang 14 cannot capture those.
  auto wanted = call.target(input, {channels});
  Tensor& db = wanted.tensor;
  const kernels::Accum accum = wanted.accum;
  dispatch16(call.dy().dtype(), "bias", [&]<class T>() {
    kernels::sum_middle(context(db.device()), 1, call.dy().numel() / std::max<std::int64_t>(channels, 1), channels, 1.0,
                        call.dy().data<T>(), db.template mutable_data<wide_t<T>>(), accum);
  });
}

}  // namespace

WinogradScope::WinogradScope(bool allowed) : before_(winograd_allowed) { winograd_allowed = allowed; }
WinogradScope::~WinogradScope() { winograd_allowed = before_; }

kernels::Conv2d conv_dims(const char* op, const Tensor& x, const Tensor& w, const ConvOptions& o) {
  PEN_CHECK(x.dtype() == w.dtype() && x.device() == w.device(), op, ": x and w differ in dtype or device");
  return conv_dims(op, x.shape(), w, o);
}

kernels::Conv2d conv_dims(const char* op, const Shape& x, const Tensor& w, const ConvOptions& o) {
  check_dims(op, "x", x, 4);
  check_dims(op, "w", w, 4);
  PEN_CHECK(o.stride >= 1 && o.pad >= 0 && o.dilation >= 1 && o.groups >= 1, op, ": stride ", o.stride, ", pad ", o.pad,
            ", dilation ", o.dilation, ", groups ", o.groups);
  kernels::Conv2d d{};
  d.n = x[0], d.h = x[1], d.w = x[2], d.c = x[3];
  d.k = w.size(0), d.r = w.size(2), d.s = w.size(3);
  d.stride = o.stride, d.pad = o.pad, d.dilation = o.dilation, d.groups = o.groups;
  PEN_CHECK(d.c % o.groups == 0 && d.k % o.groups == 0 && w.size(1) * o.groups == d.c, op, ": x ", to_string(x),
            " and w ", to_string(w.shape()), " in ", o.groups, " groups");
  const std::int64_t span_h = o.dilation * (d.r - 1) + 1, span_w = o.dilation * (d.s - 1) + 1;
  PEN_CHECK(d.h + 2 * o.pad >= span_h && d.w + 2 * o.pad >= span_w, op, ": kernel span ", span_h, "x", span_w,
            " does not fit input ", d.h, "x", d.w, " with pad ", o.pad);
  d.p = conv_output(d.h, d.r, o), d.q = conv_output(d.w, d.s, o);
  name_weights(w, d);
  d.winograd = winograd_allowed;
  return d;
}

namespace {

// The kernels of a convolution by the type T of its activations. In 16 bit they are those of frozen networks with
// nothing around them, and the weights that they read are a narrower copy of the ones that learn.
template <class T>
void conv_forward(const kernels::Context& ctx, const kernels::Conv2d& d, const Tensor& x, const Tensor& w,
                  const Tensor& b, Tensor& y) {
  const auto* bias = b.defined() ? b.data<wide_t<T>>() : nullptr;
  if constexpr (sizeof(T) == 2)
    kernels::conv2d_fused_fwd(ctx, d, x.data<T>(), w.data<T>(), bias, nullptr, false, y.mutable_data<T>(), nullptr);
  else
    kernels::conv2d_fwd(ctx, d, x.data<T>(), w.data<T>(), bias, y.mutable_data<T>());
}
template <class T>
void conv_backward_data(const kernels::Context& ctx, const kernels::Conv2d& d, const Tensor& dy, const Tensor& w,
                        Tensor& dx) {
  if constexpr (sizeof(T) == 2)
    kernels::conv2d_fused_bwd_data(ctx, d, dy.data<T>(), w.data<T>(), nullptr, nullptr, dx.mutable_data<T>());
  else
    kernels::conv2d_bwd_data(ctx, d, dy.data<T>(), w.data<T>(), dx.mutable_data<T>());
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const ConvOptions& o, const Tensor& narrow) {
  const bool narrows = is_16_bit(x.dtype());
  Tensor read = w;  // by the products
  if (narrows) {
    PEN_CHECK(w.dtype() == DType::f32, "conv2d: x is of ", name_of(x.dtype()), ", w of ", name_of(w.dtype()),
              " and not of float32");
    read = narrow.defined() ? narrow.detach() : w.to(x.dtype());
    PEN_CHECK(read.shape() == w.shape(), "conv2d: a narrow copy ", to_string(read.shape()), " of w ",
              to_string(w.shape()));
  }
  kernels::Conv2d d = conv_dims("conv2d", x, read, o);
  // Weights that learn have no name on a GPU, nor has a copy that was made for this call (name_weights).
  if (narrows && (!narrow.defined() || (w.requires_grad() && w.device().is_cuda()))) d.weight_key = d.weight_owner = 0;
  if (b.defined())
    PEN_CHECK(b.shape() == Shape{d.k} && b.dtype() == w.dtype(), "conv2d: bias ", to_string(b.shape()), " ",
              name_of(b.dtype()), " for ", d.k, " output channels of ", name_of(w.dtype()), " weights");
  Tensor y = empty_with(x, {d.n, d.p, d.q, d.k});
  dispatch16(x.dtype(), "conv2d", [&]<class T>() { conv_forward<T>(context(x.device()), d, x, read, b, y); });
  if (!needs_grad({&x, &w, &b})) return y;
  // Weights are read for dx, the input for dw: what is not needed is not kept.
  const Saved sx(w.requires_grad() ? x : Tensor()), sw(x.requires_grad() ? read : Tensor());
  record("conv2d", y, {x, w, b}, [d, sx, sw, w_shape = w.shape(), x_shape = x.shape()](Backward& call) {
    const Tensor& dy = call.dy();
    dispatch16(dy.dtype(), "conv2d", [&]<class T>() {
      const kernels::Context ctx = context(dy.device());
      if (call.wants(1)) {
        const Tensor saved = sx.get("conv2d");
        auto wanted = call.target(1, w_shape);
        Tensor& dw = wanted.tensor;
        const kernels::Accum accum = wanted.accum;
        kernels::conv2d_bwd_weight(ctx, d, saved.data<T>(), dy.data<T>(), dw.template mutable_data<wide_t<T>>(), accum);
      }
      bias_gradient(call, 2, d.k);
      if (call.wants(0)) {
        const Tensor saved = sw.get("conv2d");
        Tensor dx = empty_with(dy, x_shape);
        conv_backward_data<T>(ctx, d, dy, saved, dx);
        call.set(0, std::move(dx));
      }
    });
  });
  return y;
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& b, const ConvOptions& o, int output_pad) {
  check_dims("conv_transpose2d", "x", x, 4);
  check_dims("conv_transpose2d", "w", w, 4);
  PEN_CHECK(x.size(3) == w.size(0) && x.dtype() == w.dtype() && o.groups == 1, "conv_transpose2d: x ",
            to_string(x.shape()), " and w ", to_string(w.shape()), " in ", o.groups, " groups");
  PEN_CHECK(o.stride >= 1 && o.pad >= 0 && o.dilation >= 1, "conv_transpose2d: stride ", o.stride, ", pad ", o.pad,
            ", dilation ", o.dilation);
  if (b.defined())
    PEN_CHECK(b.shape() == Shape{w.size(1)}, "conv_transpose2d: bias ", to_string(b.shape()), " for ", w.size(1),
              " output channels");
  // The convolution whose data gradient this is: its output is our x.
  kernels::Conv2d d{};
  d.n = x.size(0), d.p = x.size(1), d.q = x.size(2), d.k = x.size(3);
  d.c = w.size(1), d.r = w.size(2), d.s = w.size(3);
  d.stride = o.stride, d.pad = o.pad, d.dilation = o.dilation;
  d.h = (d.p - 1) * o.stride - 2 * o.pad + o.dilation * (d.r - 1) + 1 + output_pad;
  d.w = (d.q - 1) * o.stride - 2 * o.pad + o.dilation * (d.s - 1) + 1 + output_pad;
  PEN_CHECK(d.h > 0 && d.w > 0 && output_pad >= 0 && output_pad < std::max(o.stride, o.dilation),
            "conv_transpose2d: output ", d.h, "x", d.w, " with output_pad ", output_pad);
  name_weights(w, d);
  Tensor y = empty_with(x, {d.n, d.h, d.w, d.c});
  dispatch(x.dtype(), "conv_transpose2d", [&]<class T>() {
    const kernels::Context ctx = context(x.device());
    kernels::conv2d_bwd_data(ctx, d, x.data<T>(), w.data<T>(), y.mutable_data<T>());
    if (b.defined()) {
      T* p = y.mutable_data<T>();
      kernels::add_bias(ctx, {d.n * d.h * d.w, d.c}, p, b.data<T>(), p);
    }
  });
  if (!needs_grad({&x, &w, &b})) return y;
  const Saved sx(w.requires_grad() ? x : Tensor()), sw(x.requires_grad() ? w : Tensor());
  record("conv_transpose2d", y, {x, w, b}, [d, sx, sw, w_shape = w.shape(), x_shape = x.shape()](Backward& call) {
    const Tensor& dy = call.dy();
    dispatch(dy.dtype(), "conv_transpose2d", [&]<class T>() {
      const kernels::Context ctx = context(dy.device());
      if (call.wants(1)) {
        const Tensor saved = sx.get("conv_transpose2d");
        auto wanted = call.target(1, w_shape);
        Tensor& dw = wanted.tensor;
        const kernels::Accum accum = wanted.accum;
        kernels::conv2d_bwd_weight(ctx, d, dy.data<T>(), saved.data<T>(), dw.template mutable_data<T>(), accum);
      }
      bias_gradient(call, 2, d.c);
      if (call.wants(0)) {
        const Tensor saved = sw.get("conv_transpose2d");
        Tensor dx = empty_with(dy, x_shape);
        kernels::conv2d_fwd(ctx, d, dy.data<T>(), saved.data<T>(), static_cast<const T*>(nullptr),
                            dx.mutable_data<T>());
        call.set(0, std::move(dx));
      }
    });
  });
  return y;
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  check_dims("linear", "x", x, 2);
  check_dims("linear", "w", w, 2);
  const std::int64_t n = x.size(0), c = x.size(1), k = w.size(0);
  PEN_CHECK(w.size(1) == c && x.dtype() == w.dtype(), "linear: x ", to_string(x.shape()), " and w ",
            to_string(w.shape()));
  if (b.defined()) PEN_CHECK(b.shape() == Shape{k}, "linear: bias ", to_string(b.shape()), " for ", k, " outputs");
  Tensor y = empty_with(x, {n, k});
  dispatch(x.dtype(), "linear", [&]<class T>() {
    const kernels::Context ctx = context(x.device());
    T* p = y.mutable_data<T>();
    kernels::matmul(ctx, {n, k, c, false, true}, x.data<T>(), w.data<T>(), p, kernels::Accum::write);
    if (b.defined()) kernels::add_bias(ctx, {n, k}, p, b.data<T>(), p);
  });
  if (!needs_grad({&x, &w, &b})) return y;
  record("linear", y, {x, w, b}, [n, c, k, sx = Saved(x), sw = Saved(w)](Backward& call) {
    const Tensor& dy = call.dy();
    dispatch(dy.dtype(), "linear", [&]<class T>() {
      const kernels::Context ctx = context(dy.device());
      if (call.wants(1)) {
        const Tensor saved = sx.get("linear");
        auto wanted = call.target(1, {k, c});
        Tensor& dw = wanted.tensor;
        const kernels::Accum accum = wanted.accum;
        kernels::matmul(ctx, {k, c, n, true, false}, dy.data<T>(), saved.data<T>(), dw.template mutable_data<T>(),
                        accum);
      }
      bias_gradient(call, 2, k);
      if (call.wants(0)) {
        const Tensor saved = sw.get("linear");
        Tensor dx = empty_with(dy, {n, c});
        kernels::matmul(ctx, {n, c, k, false, false}, dy.data<T>(), saved.data<T>(), dx.mutable_data<T>(),
                        kernels::Accum::write);
        call.set(0, std::move(dx));
      }
    });
  });
  return y;
}

}  // namespace pen::ops
