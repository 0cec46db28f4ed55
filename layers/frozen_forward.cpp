// The way forward through a frozen network.
#include <utility>

#include "layers/frozen_plan.h"

namespace pen {
namespace {

using ops::empty_with;
using Step = FrozenPlan::Step;
using Kind = FrozenPlan::Kind;

// Some images through one stretch.
class ForwardGroup {
 public:
  // group: null when no backward will follow.
  ForwardGroup(const FrozenPlan& plan, const Stretch& stretch, bool keep_taps, Pass::Group* group)
      : plan_(plan),
        stretch_(stretch),
        keep_taps_(keep_taps),
        group_(group),
        values_(plan.values()),
        targets_(plan.values()) {
    if (group_) group_->steps.resize(stretch.last - stretch.first);
  }

  // See Along. copies: by value, what those images are there, where `wanted`.
  void set_along(std::int64_t images, const std::vector<bool>& wanted, std::vector<Tensor>& copies) {
    along_ = images, wanted_ = &wanted, copies_ = &copies;
  }
  // Where a value, or the bits of the last one, are to be written. Without: anywhere.
  void write_to(std::size_t value, Tensor to) { targets_[value] = std::move(to); }
  void write_bits_to(Tensor to) { bits_ = std::move(to); }

  // x is let go after its last use.
  void run(Tensor x) {
    if (stretch_.first == 0) copy_along(0, x);
    values_[stretch_.first] = std::move(x);
    for (std::size_t i = stretch_.first; i < stretch_.last; ++i) {
      const Step& s = plan_.steps()[i];
      Tensor y = one(i, s);
      copy_along(i + 1, y);
      values_[i + 1] = std::move(y);
      release(i, s.in);
      release(i, s.residual);
    }
  }
  Tensor take(std::size_t value) { return std::move(values_[value]); }
  const Tensor& value(std::size_t value) const { return values_[value]; }

 private:
  Tensor one(std::size_t i, const Step& s) {
    const Tensor& x = values_[value_index(s.in)];
    if (group_) {
      step(i).in = x.shape();
      step(i).in[0] = recorded(x.size(0));
    }
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
    d.winograd = plan_.options.winograd, d.winograd_large = plan_.options.winograd_large, d.relu_slope = s.slope;
    const Shape shape{d.n, d.p, d.q, d.k};
    const std::int64_t marked = recorded(d.n);
    Tensor residual, open;
    // The residual's memory serves the result where nobody reads it any more.
    if (s.residual != FrozenSteps::none)
      residual = dies(i, s.residual) && s.residual != s.in ? std::move(values_[value_index(s.residual)])
                                                           : values_[value_index(s.residual)];
    if (residual.defined())
      PEN_CHECK(residual.shape() == shape, "frozen network: residual ", to_string(residual.shape()), " for ",
                to_string(shape));
    Tensor y = targets_[i + 1];
    if (!y.defined()) y = reusable(residual) ? residual : empty_with(x, shape);
    if (group_) {
      step(i).conv = d;
      step(i).conv.n = marked;
      if (s.relu) step(i).open = open = bits_for(i, marked * d.p * d.q * d.k, x.device());
    }
    const bool apart = open.defined() && marked < d.n;
    dispatch_inside(x.dtype(), [&]<class T>() {
      kernels::conv2d_fused_fwd(context(x.device()), d, x.data<T>(), s.weight.data<T>(), s.bias.data<wide_t<T>>(),
                                residual.defined() ? residual.data<T>() : nullptr, s.relu, y.mutable_data<T>(),
                                open.defined() && !apart ? open.mutable_data<std::uint8_t>() : nullptr);
      if (apart)
        kernels::mark_positive(context(x.device()), marked * d.p * d.q * d.k, std::as_const(y).data<T>(),
                               open.mutable_data<std::uint8_t>());
    });
    return y;
  }

  Tensor bits_for(std::size_t i, std::int64_t elements, Device device) const {
    if (i + 1 == stretch_.last && bits_.defined()) return bits_;
    return Tensor::empty({kernels::bit_bytes(elements)}, DType::u8, device);
  }

  // (N,H,W,C) -> (N,C), wide from here on
  static Tensor global_pool(const Tensor& x) {
    const std::int64_t area = x.size(1) * x.size(2);
    Tensor y = Tensor::empty({x.size(0), x.size(3)}, wide_of_type(x.dtype()), x.device());
    dispatch_inside(x.dtype(), [&]<class T>() {
      kernels::sum_middle(context(x.device()), x.size(0), area, x.size(3), 1.0 / static_cast<double>(area), x.data<T>(),
                          y.mutable_data<wide_t<T>>(), kernels::Accum::write);
    });
    return y;
  }

  Tensor max_pool(std::size_t i, const Step& s, const Tensor& x) {
    kernels::Pool2d d = ops::pool_dims("frozen network", x, s.pool), others = d;
    Tensor y = targets_[i + 1], winner;
    if (!y.defined()) y = empty_with(x, {d.n, d.p, d.q, d.c});
    if (group_) {
      others.n = d.n - recorded(d.n), d.n -= others.n;
      step(i).pool = d;
      step(i).winner = winner = Tensor::empty({d.n, d.p, d.q, d.c}, DType::u8, x.device());
    }
    dispatch_inside(x.dtype(), [&]<class T>() {
      const kernels::Context ctx = context(x.device());
      const T* const from = x.data<T>();
      T* const to = y.mutable_data<T>();
      kernels::max_pool_fwd(ctx, d, from, to, winner.defined() ? winner.mutable_data<std::uint8_t>() : nullptr);
      if (group_ && others.n > 0)
        kernels::max_pool_fwd(ctx, others, from + d.n * d.h * d.w * d.c, to + d.n * d.p * d.q * d.c, nullptr);
    });
    return y;
  }

  // Whether step i is the last to need a value.
  bool dies(std::size_t i, FrozenSteps::Value v) const {
    return plan_.last_use[value_index(v)] == static_cast<int>(i) && !(keep_taps_ && plan_.is_tap[value_index(v)]);
  }
  void release(std::size_t i, FrozenSteps::Value v) {
    if (v != FrozenSteps::none && dies(i, v)) values_[value_index(v)] = {};
  }
  // How many of n images leave a record.
  std::int64_t recorded(std::int64_t n) const { return n - along_; }
  void copy_along(std::size_t v, const Tensor& y) {
    if (along_ == 0 || !(*wanted_)[v]) return;
    const Tensor theirs = y.window(recorded(y.size(0)), along_);
    (*copies_)[v] = is_16_bit(y.dtype()) ? theirs.to(DType::f32) : theirs.clone();
  }
  Pass::Step& step(std::size_t i) { return group_->steps[i - stretch_.first]; }

  const FrozenPlan& plan_;
  const Stretch& stretch_;
  const bool keep_taps_;
  Pass::Group* const group_;
  std::vector<Tensor> values_, targets_;
  Tensor bits_;
  std::int64_t along_ = 0;
  const std::vector<bool>* wanted_ = nullptr;
  std::vector<Tensor>* copies_ = nullptr;
};

class ForwardPass {
 public:
  ForwardPass(const FrozenPlan& plan, const Tensor& x, bool keep_taps, Pass* pass, const Along& along)
      : plan_(plan),
        keep_taps_(keep_taps && along.images == 0),
        pass_(pass),
        along_(along.images),
        taps_(plan.values()),
        copied_(plan.values()) {
    const std::vector<FrozenSteps::Value>& taps = plan.list.taps();
    for (std::size_t k = 0; k < taps.size() && k < along.taps.size(); ++k)
      if (keep_taps && along.taps[k]) copied_[value_index(taps[k])] = true;
    inside_ = is_16_bit(plan.options.inside) ? plan.options.inside : x.dtype();
    device_ = x.device();
    stretches_ = stretches_of(plan, x.shape(), inside_, device_);
  }

  Tensor run(Tensor x) {
    x = x.to(inside_);
    if (is_tap(0)) taps_[0] = x;
    for (const Stretch& s : stretches_.list) {
      Pass::Part* const part = pass_ ? &pass_->parts.emplace_back() : nullptr;
      if (part) part->stretch = s;
      const std::int64_t n = x.size(0);
      PEN_CHECK(along_ == 0 || s.groups(n) == 1, "frozen network: images go along in a whole batch only");
      x = s.groups(n) == 1 ? whole(s, std::move(x), part) : in_groups(s, x, part);
    }
    return x;
  }
  Tensor tap(std::size_t value) const { return taps_[value]; }

 private:
  bool is_tap(std::size_t value) const { return keep_taps_ && plan_.is_tap[value]; }

  Tensor whole(const Stretch& s, Tensor x, Pass::Part* part) {
    if (part) part->groups.push_back({0, x.size(0) - along_, {}});
    ForwardGroup group(plan_, s, keep_taps_, part ? &part->groups.back() : nullptr);
    if (along_ > 0) group.set_along(along_, copied_, taps_);
    group.run(std::move(x));
    for (std::size_t v = s.first + 1; v <= s.last; ++v)
      if (is_tap(v)) taps_[v] = group.value(v);
    if (part) part->open = part->groups.back().steps.back().open;
    return group.take(s.last);
  }

  Tensor in_groups(const Stretch& s, const Tensor& x, Pass::Part* part) {
    const std::int64_t n = x.size(0), groups = s.groups(n);
    const auto empty = [&](std::size_t v) { return Tensor::empty(stretches_.shapes[v], inside_, device_); };
    Tensor y = empty(s.last), open;
    for (std::size_t v = s.first + 1; v <= s.last; ++v)
      if (is_tap(v)) taps_[v] = v == s.last ? y : empty(v);
    if (part) {
      part->groups.resize(static_cast<std::size_t>(groups));
      if (plan_.steps()[s.last - 1].relu)  // (N, bytes of one image)
        part->open = open = Tensor::empty({n, kernels::bit_bytes(y.numel() / n)}, DType::u8, device_);
    }
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t begin = n * g / groups, count = n * (g + 1) / groups - begin;
      Pass::Group* const record = part ? &part->groups[static_cast<std::size_t>(g)] : nullptr;
      if (record) record->begin = begin, record->count = count;
      ForwardGroup group(plan_, s, keep_taps_, record);
      for (std::size_t v = s.first + 1; v <= s.last; ++v)
        if (v == s.last || is_tap(v)) group.write_to(v, (v == s.last ? y : taps_[v]).window(begin, count));
      if (open.defined()) group.write_bits_to(open.window(begin, count));
      group.run(x.window(begin, count));
    }
    return y;
  }

  const FrozenPlan& plan_;
  const bool keep_taps_;
  Pass* const pass_;
  const std::int64_t along_;
  DType inside_ = DType::f32;
  Device device_;
  Stretches stretches_;
  std::vector<Tensor> taps_;  // by value
  std::vector<bool> copied_;  // by value: what images that go along are there is wanted
};

}  // namespace

Tensor frozen_forward(const FrozenPlan& plan, Tensor x, std::vector<Tensor>* taps, Pass* pass, const Along& along) {
  const NoGrad no_grad;
  ForwardPass forward(plan, x, taps != nullptr, pass, along);
  Tensor logits = forward.run(std::move(x));
  if (taps)
    for (const FrozenSteps::Value v : plan.list.taps()) {
      const Tensor tap = forward.tap(value_index(v));
      taps->push_back(tap.defined() ? tap.to(wide_of_type(tap.dtype())) : tap);
    }
  return logits;
}

}  // namespace pen
