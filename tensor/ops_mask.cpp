#include <algorithm>

#include "tensor/ops_common.h"

namespace pen::ops {
namespace {

Tensor mix(const char* op, kernels::Side side, const Tensor& x, const Tensor& m, const Tensor& filling) {
  const kernels::MaskCells cells = mask_cells(op, x, m);
  if (filling.defined()) check_same(op, x, filling);
  const std::int64_t c = x.size(3);
  Tensor y = empty_like(x);
  dispatch(x.dtype(), op, [&]<class T>() {
    kernels::mask_mix_fwd(context(x.device()), cells, c, side, x.data<T>(), m.data<T>(),
                          filling.defined() ? filling.data<T>() : nullptr, y.mutable_data<T>());
  });
  if (!needs_grad({&x, &m, &filling})) return y;
  record(op, y, {x, m, filling}, [cells, c, side, sx = Saved(x), sm = Saved(m), sf = Saved(filling)](Backward& call) {
    const char* name = call.operation();
    const Tensor kept_x = sx.get(name), kept_m = sm.get(name), kept_f = sf.get(name);
    const Tensor& dy = call.dy();
    Tensor dx = call.wants(0) ? empty_like(kept_x) : Tensor(), dm = call.wants(1) ? empty_like(kept_m) : Tensor();
    Tensor df = call.wants(2) ? empty_like(kept_x) : Tensor();
    dispatch(dy.dtype(), name, [&]<class T>() {
      const auto out = [](Tensor& t) { return t.defined() ? t.mutable_data<T>() : nullptr; };
      kernels::mask_mix_bwd(context(dy.device()), cells, c, side, kept_x.data<T>(), kept_m.data<T>(),
                            kept_f.defined() ? kept_f.data<T>() : nullptr, dy.data<T>(), out(dx), out(dm), out(df));
    });
    if (dx.defined()) call.set(0, std::move(dx));
    if (dm.defined()) call.set(1, std::move(dm));
    if (df.defined()) call.set(2, std::move(df));
  });
  return y;
}

}  // namespace

kernels::MaskCells mask_cells(const char* op, const Tensor& x, const Tensor& m) {
  check_dims(op, "x", x, 4);
  const Shape& whole = x.shape();
  std::int64_t scale = 1;
  if (m.shape().size() == 4 && m.size(1) > 0) scale = std::max<std::int64_t>(whole[1] / m.size(1), 1);
  PEN_CHECK(m.shape().size() == 4 && (whole == Shape{m.size(0), scale * m.size(1), scale * m.size(2), whole[3]}) &&
                m.size(3) == 1 && m.dtype() == x.dtype(),
            op, ": mask ", to_string(m.shape()), " ", name_of(m.dtype()), " for images ", to_string(whole), " ",
            name_of(x.dtype()));
  return {m.size(0) * m.size(1), m.size(2), scale};
}

std::int64_t mask_scale(const Tensor& x, const Tensor& m) { return mask_cells("mask_scale", x, m).scale; }

Tensor mask_in(const Tensor& x, const Tensor& m, const Tensor& filling) {
  return mix("mask_in", kernels::Side::in, x, m, filling);
}

Tensor mask_out(const Tensor& x, const Tensor& m, const Tensor& filling) {
  return mix("mask_out", kernels::Side::out, x, m, filling);
}

Tensor total_variation(const Tensor& m, double border) {
  check_dims("total_variation", "m", m, 4);
  PEN_CHECK(m.size(3) == 1, "total_variation: a mask has one channel, not ", to_string(m.shape()));
  const std::int64_t n = m.size(0), h = m.size(1), w = m.size(2);
  Tensor y = empty_with(m, {n});
  dispatch(m.dtype(), "total_variation", [&]<class T>() {
    kernels::total_variation_fwd(context(m.device()), n, h, w, border, m.data<T>(), y.mutable_data<T>());
  });
  if (!needs_grad({&m})) return y;
  record("total_variation", y, {m}, [n, h, w, border, saved = Saved(m)](Backward& call) {
    const Tensor kept = saved.get("total_variation");
    Tensor dm = empty_like(kept);
    dispatch(dm.dtype(), "total_variation", [&]<class T>() {
      kernels::total_variation_bwd(context(dm.device()), n, h, w, border, kept.data<T>(),
                                   std::as_const(call.dy()).data<T>(), dm.mutable_data<T>());
    });
    call.set(0, std::move(dm));
  });
  return y;
}

Tensor mask_statistics(const Tensor& m, std::int64_t scale) {
  check_dims("mask_statistics", "m", m, 4);
  PEN_CHECK(m.size(3) == 1, "mask_statistics: a mask has one channel, not ", to_string(m.shape()));
  Tensor y = empty_with(m, {m.size(0), 3});
  dispatch(m.dtype(), "mask_statistics", [&]<class T>() {
    kernels::mask_statistics(context(m.device()), m.size(0), m.size(1), m.size(2), scale, m.data<T>(),
                             y.mutable_data<T>());
  });
  return y;
}

}  // namespace pen::ops
