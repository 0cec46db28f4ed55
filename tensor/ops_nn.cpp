#include "kernels/shared/math.inl"
#include "tensor/ops_common.h"

namespace pen::ops {

kernels::Pool2d pool_dims(const char* op, const Shape& x, const PoolOptions& o) {
  check_dims(op, "x", x, 4);
  kernels::Pool2d d{};
  d.n = x[0], d.h = x[1], d.w = x[2], d.c = x[3];
  d.k = o.k, d.stride = o.stride, d.pad = o.pad;
  PEN_CHECK(o.k >= 1 && o.k <= 15 && o.stride >= 1 && o.pad >= 0 && 2 * o.pad <= o.k, op, ": window ", o.k, ", stride ",
            o.stride, ", pad ", o.pad, " (window at most 15, pad at most half of it)");
  PEN_CHECK(d.h + 2 * o.pad >= o.k && d.w + 2 * o.pad >= o.k, op, ": window ", o.k, " does not fit input ", d.h, "x",
            d.w, " with pad ", o.pad);
  d.p = (d.h + 2 * o.pad - o.k) / o.stride + 1;
  d.q = (d.w + 2 * o.pad - o.k) / o.stride + 1;
  return d;
}

Tensor max_pool2d(const Tensor& x, const PoolOptions& o) {
  const kernels::Pool2d d = pool_dims("max_pool2d", x, o);
  Tensor y = empty_with(x, {d.n, d.p, d.q, d.c});
  const bool recorded = needs_grad({&x});
  Tensor index = recorded ? Tensor::empty(y.shape(), DType::u8, x.device()) : Tensor();
  dispatch16(x.dtype(), "max_pool2d", [&]<class T>() {
    kernels::max_pool_fwd(context(x.device()), d, x.data<T>(), y.mutable_data<T>(),
                          recorded ? index.mutable_data<std::uint8_t>() : nullptr);
  });
  if (!recorded) return y;
  record("max_pool2d", y, {x}, [d, index = Saved(index), shape = x.shape()](Backward& call) {
    Tensor dx = empty_with(call.dy(), shape);
    const Tensor places = index.get("max_pool2d");
    dispatch16(dx.dtype(), "max_pool2d", [&]<class T>() {
      kernels::max_pool_bwd(context(dx.device()), d, call.dy().data<T>(), places.data<std::uint8_t>(),
                            dx.mutable_data<T>());
    });
    call.set(0, std::move(dx));
  });
  return y;
}

Tensor avg_pool2d(const Tensor& x, const PoolOptions& o) {
  const kernels::Pool2d d = pool_dims("avg_pool2d", x, o);
  Tensor y = empty_with(x, {d.n, d.p, d.q, d.c});
  dispatch(x.dtype(), "avg_pool2d",
           [&]<class T>() { kernels::avg_pool_fwd(context(x.device()), d, x.data<T>(), y.mutable_data<T>()); });
  if (!needs_grad({&x})) return y;
  record("avg_pool2d", y, {x}, [d, shape = x.shape()](Backward& call) {
    Tensor dx = empty_with(call.dy(), shape);
    dispatch(dx.dtype(), "avg_pool2d", [&]<class T>() {
      kernels::avg_pool_bwd(context(dx.device()), d, call.dy().data<T>(), dx.mutable_data<T>());
    });
    call.set(0, std::move(dx));
  });
  return y;
}

Tensor global_avg_pool(const Tensor& x) {
  check_dims("global_avg_pool", "x", x, 4);
  const std::int64_t n = x.size(0), area = x.size(1) * x.size(2), c = x.size(3);
  PEN_CHECK(area > 0, "global_avg_pool: x has shape ", to_string(x.shape()));
  Tensor y = Tensor::empty({n, c}, wide_of_type(x.dtype()), x.device());
  const double share = 1.0 / static_cast<double>(area);
  dispatch16(x.dtype(), "global_avg_pool", [&]<class T>() {
    kernels::sum_middle(context(x.device()), n, area, c, share, x.data<T>(), y.template mutable_data<wide_t<T>>(),
                        kernels::Accum::write);
  });
  if (!needs_grad({&x})) return y;
  record("global_avg_pool", y, {x}, [n, area, c, share, shape = x.shape(), type = x.dtype()](Backward& call) {
    Tensor dx = Tensor::empty(shape, type, call.dy().device());
    dispatch16(type, "global_avg_pool", [&]<class T>() {
      kernels::spread_middle(context(dx.device()), n, area, c, share,
                             std::as_const(call.dy()).template data<wide_t<T>>(), dx.mutable_data<T>());
    });
    call.set(0, std::move(dx));
  });
  return y;
}

Tensor convert(const Tensor& x, DType dtype) {
  if (dtype == x.dtype()) return x;
  Tensor y = x.to(dtype);
  if (needs_grad({&x}))
    record("convert", y, {x}, [from = x.dtype()](Backward& call) { call.set(0, call.dy().to(from)); });
  return y;
}

namespace {

Tensor resize(const char* op, const Tensor& x, std::int64_t height, std::int64_t width, bool bilinear,
              bool align_corners) {
  check_dims(op, "x", x, 4);
  PEN_CHECK(height > 0 && width > 0 && x.size(1) > 0 && x.size(2) > 0, op, ": from ", to_string(x.shape()), " to ",
            height, "x", width);
  const kernels::Resize2d d{x.size(0), x.size(1), x.size(2), x.size(3), height, width, align_corners};
  Tensor y = empty_with(x, {d.n, d.p, d.q, d.c});
  dispatch(x.dtype(), op, [&]<class T>() {
    const kernels::Context ctx = context(x.device());
    if (bilinear)
      kernels::resize_bilinear_fwd(ctx, d, x.data<T>(), y.mutable_data<T>());
    else
      kernels::resize_nearest_fwd(ctx, d, x.data<T>(), y.mutable_data<T>());
  });
  if (!needs_grad({&x})) return y;
  record(op, y, {x}, [d, bilinear, shape = x.shape()](Backward& call) {
    Tensor dx = empty_with(call.dy(), shape);
    dispatch(dx.dtype(), call.operation(), [&]<class T>() {
      const kernels::Context ctx = context(dx.device());
      const T* dy = std::as_const(call.dy()).data<T>();
      if (bilinear)
        kernels::resize_bilinear_bwd(ctx, d, dy, dx.mutable_data<T>());
      else
        kernels::resize_nearest_bwd(ctx, d, dy, dx.mutable_data<T>());
    });
    call.set(0, std::move(dx));
  });
  return y;
}

}  // namespace

Tensor resize_nearest(const Tensor& x, std::int64_t height, std::int64_t width) {
  return resize("resize_nearest", x, height, width, false, false);
}

std::int64_t nearest_repeats(std::int64_t h, std::int64_t w, std::int64_t height, std::int64_t width) {
  const std::int64_t s = h > 0 ? height / h : 0;
  if (s == 0 || height != s * h || width != s * w) return 0;
  for (const auto& [in, out] : {std::pair{h, height}, {w, width}})
    for (std::int64_t i = 0; i < out; ++i)
      if (kernels::shared::nearest_source(i, in, out) != i / s) return 0;
  return s;
}

Tensor resize_bilinear(const Tensor& x, std::int64_t height, std::int64_t width, bool align_corners) {
  return resize("resize_bilinear", x, height, width, true, align_corners);
}

Tensor concat_channels(const std::vector<Tensor>& parts) {
  PEN_CHECK(!parts.empty(), "concat_channels: no parts");
  std::vector<std::int64_t> widths;
  std::int64_t total = 0;
  std::int64_t rows = 0;  // of the parts that have channels
  for (const Tensor& p : parts) {
    rows = std::max(rows, rows_of(p));
    Shape a = p.shape(), b = parts[0].shape();
    a.pop_back(), b.pop_back();
    PEN_CHECK(a == b && p.dtype() == parts[0].dtype(), "concat_channels: ", to_string(parts[0].shape()), " and ",
              to_string(p.shape()), " differ in more than channels");
    widths.push_back(p.size(-1));
    total += p.size(-1);
  }
  Shape shape = parts[0].shape();
  shape.back() = total;
  Tensor y = empty_with(parts[0], shape);
  dispatch16(y.dtype(), "concat_channels", [&]<class T>() {
    std::int64_t at = 0;
    for (const Tensor& p : parts) {
      kernels::copy_columns(context(y.device()), rows, p.size(-1), p.data<T>(), p.size(-1), 0, y.mutable_data<T>(),
                            total, at, kernels::Accum::write);
      at += p.size(-1);
    }
  });
  if (!needs_grad(parts)) return y;
  record("concat_channels", y, parts, [widths, rows, total, shape](Backward& call) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < widths.size(); at += widths[i++]) {
      if (!call.wants(i)) continue;
      Shape part = shape;
      part.back() = widths[i];
      Tensor dx = empty_with(call.dy(), part);
      dispatch16(dx.dtype(), "concat_channels", [&]<class T>() {
        kernels::copy_columns(context(dx.device()), rows, widths[i], call.dy().data<T>(), total, at,
                              dx.mutable_data<T>(), widths[i], 0, kernels::Accum::write);
      });
      call.set(i, std::move(dx));
    }
  });
  return y;
}

Tensor broadcast_planes(const Tensor& v, std::int64_t height, std::int64_t width) {
  check_dims("broadcast_planes", "v", v, 2);
  PEN_CHECK(height >= 0 && width >= 0, "broadcast_planes: to ", height, "x", width);
  const std::int64_t n = v.size(0), c = v.size(1), area = height * width;
  Tensor y = empty_with(v, {n, height, width, c});
  dispatch(v.dtype(), "broadcast_planes", [&]<class T>() {
    kernels::spread_middle(context(v.device()), n, area, c, 1.0, v.data<T>(), y.mutable_data<T>());
  });
  if (!needs_grad({&v})) return y;
  record("broadcast_planes", y, {v}, [n, area, c](Backward& call) {
    Tensor dv = empty_with(call.dy(), {n, c});
    dispatch(dv.dtype(), "broadcast_planes", [&]<class T>() {
      kernels::sum_middle(context(dv.device()), n, area, c, 1.0, call.dy().data<T>(), dv.mutable_data<T>(),
                          kernels::Accum::write);
    });
    call.set(0, std::move(dv));
  });
  return y;
}

Tensor embedding(const Tensor& table, const Tensor& ids) {
  check_dims("embedding", "table", table, 2);
  check_dims("embedding", "ids", ids, 1);
  const std::int64_t n = ids.size(0), classes = table.size(0), width = table.size(1);
  if (!ids.device().is_cuda())
    for (const std::int64_t id : ids.to_vector<std::int64_t>())
      PEN_CHECK(id >= 0 && id < classes, "embedding: id ", id, " is not among the table's ", classes, " rows");
  const Tensor there = ids.to(table.device());
  Tensor y = empty_with(table, {n, width});
  dispatch(table.dtype(), "embedding", [&]<class T>() {
    kernels::embedding_fwd(context(table.device()), n, classes, width, table.data<T>(), there.data<std::int64_t>(),
                           y.mutable_data<T>());
  });
  if (!needs_grad({&table})) return y;
  record("embedding", y, {table}, [n, classes, width, saved = Saved(there)](Backward& call) {
    const Tensor rows = saved.get("embedding");
    auto wanted = call.target(0, {classes, width});
    Tensor& dtable = wanted.tensor;
    const kernels::Accum accum = wanted.accum;
    dispatch(dtable.dtype(), "embedding", [&]<class T>() {
      kernels::embedding_bwd(context(dtable.device()), n, classes, width, call.dy().data<T>(),
                             rows.data<std::int64_t>(), dtable.template mutable_data<T>(), accum);
    });
  });
  return y;
}

}  // namespace pen::ops
