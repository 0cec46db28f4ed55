// The way back through a frozen network: gradients of the values alone.
#include <algorithm>
#include <utility>

#include "layers/frozen_plan.h"

namespace pen {
namespace {

using ops::empty_like;
using ops::empty_with;
using Step = FrozenPlan::Step;
using Kind = FrozenPlan::Kind;

// Some images back through a stretch. The gradient of a value is complete when its first reader, the last one here, has
// added its part; with that part goes the gate of the ReLU that made the value.
class BackwardGroup {
 public:
  // to: where the gradient of value `stop` is to be written; undefined: anywhere. stop_gate: bits of the ReLU that made
  // it, if a stretch before this one did.
  BackwardGroup(const FrozenPlan& plan, const Stretch& stretch, const Pass::Group& group, std::size_t stop, Tensor to,
                Tensor stop_gate)
      : plan_(plan),
        stretch_(stretch),
        group_(group),
        stop_(stop),
        to_(std::move(to)),
        stop_gate_(std::move(stop_gate)),
        sums_(plan.values()),
        missing_(plan.consumers) {}

  Tensor run(Tensor dy) {
    sums_[stretch_.last] = std::move(dy);
    for (std::size_t i = stretch_.last; i-- > stop_;) one(i, plan_.steps()[i], std::move(sums_[i + 1]));
    return std::move(sums_[stop_]);
  }

 private:
  void one(std::size_t i, const Step& s, Tensor g) {
    const Pass::Step& then = group_.steps[i - stretch_.first];
    if (s.kind == Kind::conv) return conv(s, then, std::move(g));
    // Behind the pooled mean all is wide; in front of it, as inside.
    const bool narrows = s.kind == Kind::global_pool && is_16_bit(plan_.options.inside);
    Tensor dx = Tensor::empty(then.in, narrows ? plan_.options.inside : g.dtype(), g.device());
    const kernels::Context ctx = context(g.device());
    if (s.kind == Kind::linear) {
      dispatch(g.dtype(), "frozen network", [&]<class T>() {
        kernels::matmul(ctx, {then.in[0], then.in[1], g.size(1), false, false}, g.data<T>(), s.weight.data<T>(),
                        dx.mutable_data<T>(), kernels::Accum::write);
      });
    } else {
      dispatch_inside(dx.dtype(), [&]<class T>() {
        T* const to = dx.mutable_data<T>();
        if (s.kind == Kind::max_pool)
          return kernels::max_pool_bwd(ctx, then.pool, g.data<T>(), then.winner.data<std::uint8_t>(), to);
        const std::int64_t area = then.in[1] * then.in[2];
        kernels::spread_middle(ctx, then.in[0], area, then.in[3], 1.0 / static_cast<double>(area), g.data<wide_t<T>>(),
                               to);
      });
    }
    add(value_index(s.in), std::move(dx));
  }

  void conv(const Step& s, const Pass::Step& then, Tensor g) {
    const std::size_t v = value_index(s.in);
    const Tensor sum = std::move(sums_[v]);
    const bool last = --missing_[v] == 0;
    const Tensor& gate = gate_of(v);
    const bool closes = last && gate.defined();
    Tensor dx;
    if (last && v == stop_) dx = to_;
    if (!dx.defined()) dx = reusable(sum) ? sum : empty_with(g, then.in);
    kernels::Conv2d d = then.conv;
    d.relu_slope = slope_of(v);
    dispatch_inside(g.dtype(), [&]<class T>() {
      kernels::conv2d_fused_bwd_data(context(g.device()), d, g.data<T>(), s.weight.data<T>(),
                                     sum.defined() ? sum.data<T>() : nullptr,
                                     closes ? gate.data<std::uint8_t>() : nullptr, dx.mutable_data<T>());
    });
    sums_[v] = std::move(dx);
    if (s.residual != FrozenSteps::none) add(value_index(s.residual), std::move(g));
  }

  void add(std::size_t v, Tensor part) {
    Tensor& sum = sums_[v];
    const bool last = --missing_[v] == 0;
    const Tensor& gate = gate_of(v);
    const bool closes = last && gate.defined();
    Tensor to;
    if (last && v == stop_) to = to_;
    if (!sum.defined() && !closes) {
      if (to.defined())
        to.copy_from(part);
      else
        to = std::move(part);
      sum = std::move(to);
      return;
    }
    if (!to.defined()) to = part.unique() ? part : empty_like(part);
    dispatch_inside(part.dtype(), [&]<class T>() {
      const kernels::Context ctx = context(part.device());
      const T* from = part.data<T>();
      T* const out = to.mutable_data<T>();
      if (sum.defined()) {
        kernels::add_scaled(ctx, part.numel(), 1.0, sum.data<T>(), 1.0, from, out);
        from = out;
      }
      if (closes) kernels::gate(ctx, part.numel(), slope_of(v), from, gate.data<std::uint8_t>(), out);
    });
    sum = std::move(to);
  }

  // Undefined where no ReLU made the value.
  const Tensor& gate_of(std::size_t v) const {
    return v > stretch_.first ? group_.steps[v - 1 - stretch_.first].open : stop_gate_;
  }

  double slope_of(std::size_t v) const { return v > 0 ? plan_.steps()[v - 1].slope : 0; }

  const FrozenPlan& plan_;
  const Stretch& stretch_;
  const Pass::Group& group_;
  const std::size_t stop_;
  const Tensor to_, stop_gate_;
  std::vector<Tensor> sums_;  // by value: the gradient so far
  std::vector<int> missing_;  // by value: readers whose part is still to come
};

// The gradient of value `stop`; every step that reads it comes after all that do not lead to it.
Tensor back_to(const FrozenPlan& plan, const Pass& pass, Tensor dy, std::size_t stop) {
  for (std::size_t p = pass.parts.size(); p-- > 0;) {
    const Pass::Part& part = pass.parts[p];
    if (part.stretch.last <= stop) break;
    const std::size_t until = std::max(part.stretch.first, stop);
    const Tensor edge = until == part.stretch.first && p > 0 ? pass.parts[p - 1].open : Tensor();
    const std::int64_t n = dy.size(0);
    if (part.groups.size() == 1) {
      dy = BackwardGroup(plan, part.stretch, part.groups[0], until, {}, edge).run(std::move(dy));
      continue;
    }
    Shape shape = part.groups[0].steps[until - part.stretch.first].in;
    shape[0] = n;
    Tensor dx = empty_with(dy, shape);
    // Rows of bits, one for each image: a stretch that ran whole has them in one piece.
    const Tensor rows = edge.defined() ? edge.view({n, edge.numel() / n}) : Tensor();
    for (const Pass::Group& group : part.groups)
      BackwardGroup(plan, part.stretch, group, until, dx.window(group.begin, group.count),
                    rows.defined() ? rows.window(group.begin, group.count) : Tensor())
          .run(dy.window(group.begin, group.count));
    dy = std::move(dx);
  }
  return dy;
}

Tensor times(double factor, Tensor x) {
  if (factor == 1) return x;
  Tensor y = x.unique() ? x : empty_like(x);
  dispatch(x.dtype(), "frozen network", [&]<class T>() {
    kernels::affine(context(x.device()), x.numel(), factor, 0.0, std::as_const(x).data<T>(), y.mutable_data<T>());
  });
  return y;
}
// See FreezeOptions::gradient_scale.
double scale_of(const FrozenPlan& plan) {
  return plan.options.inside == DType::f16 ? plan.options.gradient_scale : 1.0;
}
Tensor scaled(const FrozenPlan& plan, Tensor dy) { return times(scale_of(plan), std::move(dy)); }
Tensor unscaled(const FrozenPlan& plan, Tensor dx) { return times(1 / scale_of(plan), std::move(dx)); }

}  // namespace

Tensor frozen_backward(const FrozenPlan& plan, const Pass& pass, Tensor dy) {
  const Tensor dx = back_to(plan, pass, scaled(plan, std::move(dy)), 0);
  return unscaled(plan, dx.to(wide_of_type(dx.dtype())));
}

Tensor frozen_backward_to_mask(const FrozenPlan& plan, const Pass& pass, Tensor dy, const Tensor& images,
                               const Shape& mask) {
  const Step& stem = plan.steps()[0];
  const bool fused = stem.kind == Kind::conv && plan.consumers[0] == 1 && stem.conv.groups == 1;
  Tensor dm = empty_with(dy, mask);
  const kernels::MaskCells cells = ops::mask_cells("masked_logits", images, dm);
  const kernels::Context ctx = context(dm.device());
  if (fused) {
    const Tensor g = back_to(plan, pass, scaled(plan, std::move(dy)), 1);
    kernels::Conv2d d = pass.parts[0].groups[0].steps[0].conv;
    d.n = g.size(0) / 2;
    dispatch_inside(g.dtype(), [&]<class T>() {
      const T* const in = g.data<T>();
      kernels::conv2d_bwd_mask(ctx, d, cells.scale, in, in + g.numel() / 2, stem.weight.data<T>(),
                               images.data<wide_t<T>>(), dm.mutable_data<wide_t<T>>());
    });
    return unscaled(plan, std::move(dm));
  }
  const Tensor g = frozen_backward(plan, pass, std::move(dy));
  const std::int64_t c = images.size(3);
  dispatch(g.dtype(), "frozen network", [&]<class T>() {
    const T *const in = g.data<T>(), *const x = images.data<T>();
    T* const to = dm.mutable_data<T>();
    Tensor other = empty_like(dm);
    kernels::mask_mix_bwd(ctx, cells, c, kernels::Side::in, x, x, nullptr, in, nullptr, to, nullptr);
    kernels::mask_mix_bwd(ctx, cells, c, kernels::Side::out, x, x, nullptr, in + g.numel() / 2, nullptr,
                          other.mutable_data<T>(), nullptr);
    kernels::add_scaled(ctx, dm.numel(), 1.0, other.data<T>(), 1.0, to, to);
  });
  return dm;
}

}  // namespace pen
