#include "layers/frozen.h"

#include "tensor/ops_common.h"

namespace pen {

using ops::empty_like;
using ops::empty_with;

// The steps, and what can be said of them before anything runs.
struct FrozenPlan {
  using Value = FrozenSteps::Value;
  using Step = FrozenSteps::Step;
  using Kind = FrozenSteps::Kind;

  FrozenSteps list;
  bool winograd = false;
  bool narrow = false;         // bf16 inside
  std::vector<int> last_use;   // by value: the last step that reads it
  std::vector<int> consumers;  // by value: how often it is read
  std::vector<bool> is_tap;    // by value

  const std::vector<Step>& steps() const { return list.steps(); }
  std::size_t values() const { return steps().size() + 1; }
};

namespace {

using Step = FrozenPlan::Step;
using Kind = FrozenPlan::Kind;

std::size_t at(FrozenSteps::Value v) { return static_cast<std::size_t>(v); }

// Calls f.template operator()<T>(), T the type of activations: bf16, or as everywhere.
template <class F>
void dispatch_inside(DType type, F&& f) {
  if (type == DType::bf16) return f.template operator()<bf16>();
  dispatch(type, "frozen network", f);
}

Tensor narrowed(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape(), DType::bf16, x.device());
  kernels::narrow(context(x.device()), x.numel(), x.data<float>(), y.mutable_data<bf16>());
  return y;
}
// x itself where it is wide already.
Tensor widened(const Tensor& x) {
  if (x.dtype() != DType::bf16) return x;
  Tensor y = Tensor::empty(x.shape(), DType::f32, x.device());
  kernels::widen(context(x.device()), x.numel(), x.data<bf16>(), y.mutable_data<float>());
  return y;
}

// What one forward pass leaves for its backward.
struct Pass {
  explicit Pass(const FrozenPlan& plan) : open(plan.values()), steps(plan.steps().size()) {}
  struct Dims {
    kernels::Conv2d conv;
    kernels::Pool2d pool;
    Shape in;
    Tensor winner;  // indices of a max pool
  };
  std::vector<Tensor> open;  // by value: a bit where its ReLU is open; undefined where it has none
  std::vector<Dims> steps;
};

// Whether a sum may be written over its residual. On a GPU the library would need a copy of the residual.
bool reusable(const Tensor& residual) {
  return residual.defined() && residual.unique() && !residual.device().is_cuda();
}

// For each image 0 times the sum of its values: 0 if all are finite, else NaN. The fused ReLUs may swallow a NaN; spoil
// adds it to the image's logits.
Tensor not_finite(const Tensor& x) {
  const std::int64_t n = x.size(0), each = n ? x.numel() / n : 0;
  Tensor sums = empty_with(x, {n});
  dispatch(x.dtype(), "frozen network", [&]<class T>() {
    kernels::sum_columns(context(x.device()), n, each, 0.0, x.data<T>(), nullptr, sums.mutable_data<T>());
  });
  return sums;
}
void spoil(const Tensor& sums, Tensor& logits) {
  dispatch(logits.dtype(), "frozen network", [&]<class T>() {
    const kernels::Context ctx = context(logits.device());
    Tensor rows = empty_like(logits);
    kernels::spread_middle(ctx, logits.size(0), logits.size(1), 1, 1.0, sums.data<T>(), rows.mutable_data<T>());
    T* const y = logits.mutable_data<T>();
    kernels::add_scaled(ctx, logits.numel(), 1.0, y, 1.0, rows.data<T>(), y);
  });
}

class ForwardPass {
 public:
  // pass: null when no backward will follow. x is let go after its last use.
  ForwardPass(const FrozenPlan& plan, Tensor x, bool keep_taps, Pass* pass)
      : plan_(plan), keep_taps_(keep_taps), pass_(pass), values_(plan.values()) {
    values_[0] = plan.narrow ? narrowed(x) : std::move(x);
  }

  Tensor run() {
    const NoGrad no_grad;
    for (std::size_t i = 0; i < plan_.steps().size(); ++i) {
      const Step& s = plan_.steps()[i];
      Tensor y = one(i, s);
      values_[at(s.out)] = std::move(y);
      release(i, s.in);
      release(i, s.residual);
    }
    return values_.back();
  }
  const Tensor& value(FrozenSteps::Value v) const { return values_[at(v)]; }

 private:
  Tensor one(std::size_t i, const Step& s) {
    const Tensor& x = values_[at(s.in)];
    if (pass_) pass_->steps[i].in = x.shape();
    switch (s.kind) {
      case Kind::conv:
        return conv(i, s, x);
      case Kind::max_pool:
        return max_pool(i, s, x);
      case Kind::global_pool:
        return global_pool(x);
      case Kind::linear:
        break;
    }
    return ops::linear(x, s.weight, s.bias);
  }

  Tensor conv(std::size_t i, const Step& s, const Tensor& x) {
    kernels::Conv2d d = ops::conv_dims("frozen network", x, s.weight, s.conv);
    d.winograd = plan_.winograd;
    const Shape shape{d.n, d.p, d.q, d.k};
    Tensor residual, open;
    // The residual's memory serves the result where nobody reads it any more.
    if (s.residual != FrozenSteps::none)
      residual =
          dies(i, s.residual) && s.residual != s.in ? std::move(values_[at(s.residual)]) : values_[at(s.residual)];
    if (residual.defined())
      PEN_CHECK(residual.shape() == shape, "frozen network: residual ", to_string(residual.shape()), " for ",
                to_string(shape));
    Tensor y = reusable(residual) ? residual : empty_with(x, shape);
    if (pass_) {
      pass_->steps[i].conv = d;
      if (s.relu) pass_->open[at(s.out)] = open = Tensor::empty({kernels::bit_bytes(y.numel())}, DType::u8, x.device());
    }
    dispatch_inside(x.dtype(), [&]<class T>() {
      kernels::conv2d_fused_fwd(context(x.device()), d, x.data<T>(), s.weight.data<T>(), s.bias.data<wide_t<T>>(),
                                residual.defined() ? residual.data<T>() : nullptr, s.relu, y.mutable_data<T>(),
                                open.defined() ? open.mutable_data<std::uint8_t>() : nullptr);
    });
    return y;
  }

  // (N,H,W,C) -> (N,C), wide from here on
  static Tensor global_pool(const Tensor& x) {
    const std::int64_t area = x.size(1) * x.size(2);
    Tensor y = Tensor::empty({x.size(0), x.size(3)}, x.dtype() == DType::bf16 ? DType::f32 : x.dtype(), x.device());
    dispatch_inside(x.dtype(), [&]<class T>() {
      kernels::sum_middle(context(x.device()), x.size(0), area, x.size(3), 1.0 / static_cast<double>(area), x.data<T>(),
                          y.mutable_data<wide_t<T>>(), kernels::Accum::write);
    });
    return y;
  }

  Tensor max_pool(std::size_t i, const Step& s, const Tensor& x) {
    const kernels::Pool2d d = ops::pool_dims("frozen network", x, s.pool);
    Tensor y = empty_with(x, {d.n, d.p, d.q, d.c}), winner;
    if (pass_) {
      pass_->steps[i].pool = d;
      pass_->steps[i].winner = winner = Tensor::empty(y.shape(), DType::u8, x.device());
    }
    dispatch_inside(x.dtype(), [&]<class T>() {
      kernels::max_pool_fwd(context(x.device()), d, x.data<T>(), y.mutable_data<T>(),
                            winner.defined() ? winner.mutable_data<std::uint8_t>() : nullptr);
    });
    return y;
  }

  // Whether step i is the last to need a value.
  bool dies(std::size_t i, FrozenSteps::Value v) const {
    return plan_.last_use[at(v)] == static_cast<int>(i) && !(keep_taps_ && plan_.is_tap[at(v)]);
  }
  void release(std::size_t i, FrozenSteps::Value v) {
    if (v != FrozenSteps::none && dies(i, v)) values_[at(v)] = {};
  }

  const FrozenPlan& plan_;
  const bool keep_taps_;
  Pass* const pass_;
  std::vector<Tensor> values_;
};

// From d loss / d logits to d loss / d x. The gradient of a value is complete when its first reader, the last one here,
// has added its part; with that part goes the gate of the ReLU that made the value.
class BackwardPass {
 public:
  BackwardPass(const FrozenPlan& plan, const Pass& pass)
      : plan_(plan), pass_(pass), sums_(plan.values()), missing_(plan.consumers) {}

  Tensor run(Tensor dy) {
    run_to(0, std::move(dy));
    return widened(std::move(sums_[0]));
  }

  // The gradient of the mask (N,H,W,1) behind a batch of `images` masked in and masked out.
  Tensor run_to_mask(Tensor dy, const Tensor& images, const Shape& mask) {
    const Step& stem = plan_.steps()[0];
    const bool fused = stem.kind == Kind::conv && plan_.consumers[0] == 1 && stem.conv.groups == 1;
    Tensor dm = empty_with(dy, mask);
    run_to(fused ? 1 : 0, std::move(dy));
    const kernels::Context ctx = context(dm.device());
    if (fused) {
      const Tensor g = std::move(sums_[at(stem.out)]);
      kernels::Conv2d d = pass_.steps[0].conv;
      d.n /= 2;
      dispatch_inside(g.dtype(), [&]<class T>() {
        const T* const in = g.data<T>();
        kernels::conv2d_bwd_mask(ctx, d, in, in + g.numel() / 2, stem.weight.data<T>(), images.data<wide_t<T>>(),
                                 dm.mutable_data<wide_t<T>>());
      });
      return dm;
    }
    const Tensor g = widened(std::move(sums_[0]));
    const std::int64_t pixels = dm.numel(), c = images.size(3);
    dispatch(g.dtype(), "frozen network", [&]<class T>() {
      const T *const in = g.data<T>(), *const x = images.data<T>();
      T* const to = dm.mutable_data<T>();
      Tensor other = empty_like(dm);
      kernels::mask_mix_bwd(ctx, pixels, c, kernels::Side::in, x, x, nullptr, in, nullptr, to, nullptr);
      kernels::mask_mix_bwd(ctx, pixels, c, kernels::Side::out, x, x, nullptr, in + g.numel() / 2, nullptr,
                            other.mutable_data<T>(), nullptr);
      kernels::add_scaled(ctx, pixels, 1.0, other.data<T>(), 1.0, to, to);
    });
    return dm;
  }

 private:
  // Walks back until step `first` is the next.
  void run_to(std::size_t first, Tensor dy) {
    sums_.back() = std::move(dy);
    for (std::size_t i = plan_.steps().size(); i-- > first;) {
      const Step& s = plan_.steps()[i];
      one(i, s, std::move(sums_[at(s.out)]));
    }
  }

  void one(std::size_t i, const Step& s, Tensor g) {
    const Pass::Dims& dims = pass_.steps[i];
    if (s.kind == Kind::conv) return conv(s, dims, std::move(g));
    // Behind the pooled mean all is wide; in front of it, as inside.
    const bool narrows = s.kind == Kind::global_pool && plan_.narrow;
    Tensor dx = Tensor::empty(dims.in, narrows ? DType::bf16 : g.dtype(), g.device());
    const kernels::Context ctx = context(g.device());
    if (s.kind == Kind::linear) {
      dispatch(g.dtype(), "frozen network", [&]<class T>() {
        kernels::matmul(ctx, {dims.in[0], dims.in[1], g.size(1), false, false}, g.data<T>(), s.weight.data<T>(),
                        dx.mutable_data<T>(), kernels::Accum::write);
      });
    } else {
      dispatch_inside(dx.dtype(), [&]<class T>() {
        T* const to = dx.mutable_data<T>();
        if (s.kind == Kind::max_pool)
          return kernels::max_pool_bwd(ctx, dims.pool, g.data<T>(), dims.winner.data<std::uint8_t>(), to);
        const std::int64_t area = dims.in[1] * dims.in[2];
        kernels::spread_middle(ctx, dims.in[0], area, dims.in[3], 1.0 / static_cast<double>(area), g.data<wide_t<T>>(),
                               to);
      });
    }
    add(s.in, std::move(dx));
  }

  void conv(const Step& s, const Pass::Dims& dims, Tensor g) {
    const Tensor sum = std::move(sums_[at(s.in)]);
    const Tensor& gate = pass_.open[at(s.in)];
    const bool closes = --missing_[at(s.in)] == 0 && gate.defined();
    Tensor dx = reusable(sum) ? sum : empty_with(g, dims.in);
    dispatch_inside(g.dtype(), [&]<class T>() {
      kernels::conv2d_fused_bwd_data(context(g.device()), dims.conv, g.data<T>(), s.weight.data<T>(),
                                     sum.defined() ? sum.data<T>() : nullptr,
                                     closes ? gate.data<std::uint8_t>() : nullptr, dx.mutable_data<T>());
    });
    sums_[at(s.in)] = std::move(dx);
    if (s.residual != FrozenSteps::none) add(s.residual, std::move(g));
  }

  void add(FrozenSteps::Value v, Tensor part) {
    Tensor& sum = sums_[at(v)];
    const Tensor& gate = pass_.open[at(v)];
    const bool closes = --missing_[at(v)] == 0 && gate.defined();
    if (!sum.defined() && !closes) {
      sum = std::move(part);
      return;
    }
    Tensor to = part.unique() ? part : empty_like(part);
    dispatch_inside(part.dtype(), [&]<class T>() {
      const kernels::Context ctx = context(part.device());
      const T* from = part.data<T>();
      T* const out = to.mutable_data<T>();
      if (sum.defined()) {
        kernels::add_scaled(ctx, part.numel(), 1.0, sum.data<T>(), 1.0, from, out);
        from = out;
      }
      if (closes) kernels::gate(ctx, part.numel(), from, gate.data<std::uint8_t>(), out);
    });
    sum = std::move(to);
  }

  const FrozenPlan& plan_;
  const Pass& pass_;
  std::vector<Tensor> sums_;  // by value: the gradient so far
  std::vector<int> missing_;  // by value: readers whose part is still to come
};

}  // namespace

FrozenNetwork::FrozenNetwork(FrozenSteps list, bool winograd, bool narrow) {
  auto plan = std::make_shared<FrozenPlan>();
  plan->narrow = narrow;
  if (narrow) list.narrow_weights();
  plan->list = std::move(list);
  plan->winograd = winograd;
  PEN_CHECK(!plan->steps().empty() && plan->steps().back().kind == Kind::linear,
            "freeze: a network ends in a linear layer");
  plan->last_use.assign(plan->values(), -1);
  plan->consumers.assign(plan->values(), 0);
  plan->is_tap.assign(plan->values(), false);
  for (std::size_t i = 0; i < plan->steps().size(); ++i)
    for (const FrozenSteps::Value v : {plan->steps()[i].in, plan->steps()[i].residual}) {
      if (v == FrozenSteps::none) continue;
      plan->last_use[at(v)] = static_cast<int>(i);
      ++plan->consumers[at(v)];
    }
  for (const FrozenSteps::Value v : plan->list.taps()) plan->is_tap[at(v)] = true;
  plan_ = std::move(plan);
}

FrozenNetwork::Output FrozenNetwork::forward(const Tensor& x, bool want_taps) const {
  const bool recorded = needs_grad({&x});
  const auto pass = recorded ? std::make_shared<Pass>(*plan_) : nullptr;
  const Tensor broken = not_finite(x);
  ForwardPass forward(*plan_, x.detach(), want_taps, pass.get());
  Output result;
  result.logits = forward.run();
  if (want_taps)
    for (const FrozenSteps::Value v : plan_->list.taps()) result.taps.push_back(widened(forward.value(v)));
  spoil(broken, result.logits);
  if (recorded)
    record("frozen network", result.logits, {x}, [plan = plan_, pass](Backward& call) {
      if (call.wants(0)) call.set(0, BackwardPass(*plan, *pass).run(std::move(call.dy())));
    });
  return result;
}

Tensor FrozenNetwork::masked_logits(const Tensor& images, const Tensor& mask) const {
  ops::check_dims("masked_logits", "images", images, 4);
  const std::int64_t n = images.size(0), c = images.size(3), pixels = mask.numel();
  PEN_CHECK((mask.shape() == Shape{n, images.size(1), images.size(2), 1}) && mask.dtype() == images.dtype(),
            "masked_logits: mask ", to_string(mask.shape()), " ", name_of(mask.dtype()), " for images ",
            to_string(images.shape()), " ", name_of(images.dtype()));
  PEN_CHECK(!needs_grad({&images}), "masked_logits: the images have no gradient here; mask them apart");
  Tensor both = empty_with(images, {2 * n, images.size(1), images.size(2), c});
  dispatch(images.dtype(), "masked_logits", [&]<class T>() {
    const kernels::Context ctx = context(images.device());
    const T *const x = images.data<T>(), *const m = mask.data<T>();
    T* const y = both.mutable_data<T>();
    kernels::mask_mix_fwd(ctx, pixels, c, kernels::Side::in, x, m, nullptr, y);
    kernels::mask_mix_fwd(ctx, pixels, c, kernels::Side::out, x, m, nullptr, y + pixels * c);
  });
  const bool recorded = needs_grad({&mask});
  const auto pass = recorded ? std::make_shared<Pass>(*plan_) : nullptr;
  const Tensor broken = not_finite(both);
  ForwardPass forward(*plan_, std::move(both), false, pass.get());
  Tensor logits = forward.run();
  spoil(broken, logits);
  if (recorded)
    record("masked_logits", logits, {mask},
           [plan = plan_, pass, saved = Saved(images), shape = mask.shape()](Backward& call) {
             call.set(0,
                      BackwardPass(*plan, *pass).run_to_mask(std::move(call.dy()), saved.get("masked_logits"), shape));
           });
  return logits;
}

}  // namespace pen
