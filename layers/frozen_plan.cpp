#include "layers/frozen_plan.h"

#include <algorithm>
#include <utility>

#include "base/parallel.h"

namespace pen {
namespace {

Shape result_of(const FrozenPlan::Step& s, const Shape& x) {
  switch (s.kind) {
    case FrozenPlan::Kind::conv: {
      const kernels::Conv2d d = ops::conv_dims("frozen network", x, s.weight, s.conv);
      return {d.n, d.p, d.q, d.k};
    }
    case FrozenPlan::Kind::max_pool: {
      const kernels::Pool2d d = ops::pool_dims("frozen network", x, s.pool);
      return {d.n, d.p, d.q, d.c};
    }
    case FrozenPlan::Kind::global_pool:
      ops::check_dims("frozen network", "x", x, 4);
      return {x[0], x[3]};
    case FrozenPlan::Kind::linear:
      break;
  }
  return {x[0], s.weight.size(0)};
}

std::int64_t elements_of_one(const Shape& x) { return numel_of(Shape(x.begin() + 1, x.end())); }

}  // namespace

Stretches stretches_of(const FrozenPlan& plan, const Shape& x, DType inside, Device device) {
  ops::check_dims("frozen network", "images", x, 4);
  const std::int64_t n = std::max<std::int64_t>(x[0], 1);
  const std::int64_t fit = plan.options.cache_bytes * threads() / static_cast<std::int64_t>(size_of(inside));
  Stretches out;
  out.shapes.push_back(x);
  int read_until = plan.last_use[0];  // of the values so far but the newest, the last step that reads one
  std::int64_t largest = elements_of_one(x);
  bool pools = false;
  std::size_t first = 0;
  for (std::size_t i = 0; i < plan.steps().size(); ++i) {
    const FrozenPlan::Step& s = plan.steps()[i];
    out.shapes.push_back(result_of(s, out.shapes[value_index(s.in)]));
    const std::int64_t elements = elements_of_one(out.shapes.back());
    largest = std::max({largest, elements, elements_of_one(out.shapes[value_index(s.in)])});
    pools = pools || s.kind == FrozenPlan::Kind::global_pool || s.kind == FrozenPlan::Kind::linear;
    const bool end = i + 1 == plan.steps().size();
    // Bits of one image must be whole bytes where images are taken apart. From the mean over the image on, all go
    // together.
    if (!end && (read_until > static_cast<int>(i) || elements % 8 != 0 || pools)) {
      read_until = std::max(read_until, plan.last_use[i + 1]);
      continue;
    }
    const std::int64_t images =
        device.is_cuda() || pools ? n : std::clamp<std::int64_t>(fit / std::max<std::int64_t>(largest, 1), 1, n);
    if (!out.list.empty() && out.list.back().images == images)
      out.list.back().last = i + 1;
    else
      out.list.push_back({first, i + 1, images});
    first = i + 1;
    largest = 0;
    read_until = end ? 0 : plan.last_use[i + 1];
  }
  return out;
}

FrozenPlan::FrozenPlan(FrozenSteps given, const FreezeOptions& chosen) : list(std::move(given)), options(chosen) {
  if (is_16_bit(options.inside)) list.narrow_weights(options.inside);
  PEN_CHECK(!steps().empty() && steps().back().kind == Kind::linear, "freeze: a network ends in a linear layer");
  last_use.assign(values(), -1);
  consumers.assign(values(), 0);
  is_tap.assign(values(), false);
  for (std::size_t i = 0; i < steps().size(); ++i)
    for (const Value v : {steps()[i].in, steps()[i].residual}) {
      if (v == FrozenSteps::none) continue;
      last_use[value_index(v)] = static_cast<int>(i);
      ++consumers[value_index(v)];
    }
  for (const Value v : list.taps()) is_tap[value_index(v)] = true;
}

}  // namespace pen
