#include "train/network_shapes.h"

#include <algorithm>

namespace pen {
namespace {

using Kind = FrozenSteps::Kind;

std::int64_t extent(std::int64_t in, std::int64_t span, int stride, int pad) {
  return (in + 2 * pad - span) / stride + 1;
}

bool same(const kernels::Conv2d& a, const kernels::Conv2d& b) {
  return a.h == b.h && a.w == b.w && a.c == b.c && a.k == b.k && a.r == b.r && a.s == b.s && a.stride == b.stride &&
         a.pad == b.pad && a.dilation == b.dilation && a.groups == b.groups;
}

// One more of a kind.
template <class Use, class Same>
void count(std::vector<Use>& all, const Use& one, Same is_same) {
  auto found = std::find_if(all.begin(), all.end(), is_same);
  if (found == all.end()) found = all.insert(all.end(), one);
  ++found->count;
}

void count(std::vector<NetworkShapes::Conv>& all, const NetworkShapes::Conv& one) {
  count(all, one, [&](const NetworkShapes::Conv& other) {
    return same(one.d, other.d) && one.relu == other.relu && one.residual == other.residual && one.gated == other.gated;
  });
}

void count(std::vector<NetworkShapes::Norm>& all, const NetworkShapes::Norm& one) {
  count(all, one, [&](const NetworkShapes::Norm& other) { return other.d.rows == one.d.rows && other.d.c == one.d.c; });
}

}  // namespace

NetworkShapes network_shapes(const Classifier& classifier, std::int64_t n, std::int64_t side) {
  FrozenSteps steps;
  PEN_CHECK_AS(usage, classifier.describe(steps), "bench kernels: ", classifier.arch(),
               " has no list of steps; take another --arch");
  struct Value {
    NetworkShapes::Tap map;
    bool relu;
  };
  std::vector<Value> values{{{side, side, 3}, false}};
  NetworkShapes shapes;
  shapes.batch = n, shapes.side = side;
  for (const FrozenSteps::Step& s : steps.steps()) {
    const Value& in = values[static_cast<std::size_t>(s.in)];
    const NetworkShapes::Tap& x = in.map;
    Value out{x, s.relu};
    if (s.kind == Kind::conv) {
      const std::int64_t k = s.weight.size(0), r = s.weight.size(2), q = s.weight.size(3);
      out.map = {extent(x.h, s.conv.dilation * (r - 1) + 1, s.conv.stride, s.conv.pad),
                 extent(x.w, s.conv.dilation * (q - 1) + 1, s.conv.stride, s.conv.pad), k};
      kernels::Conv2d d{.n = n, .h = x.h, .w = x.w, .c = x.c, .k = k, .r = r, .s = q, .p = out.map.h, .q = out.map.w};
      d.stride = s.conv.stride, d.pad = s.conv.pad, d.dilation = s.conv.dilation, d.groups = s.conv.groups,
      d.relu_slope = s.slope;
      count(shapes.convs, {d, s.relu, s.residual != FrozenSteps::none, in.relu, 0});
      count(shapes.norms, {{n * d.p * d.q, d.k}, 0});
    } else if (s.kind == Kind::max_pool) {
      out.map.h = extent(x.h, s.pool.k, s.pool.stride, s.pool.pad);
      out.map.w = extent(x.w, s.pool.k, s.pool.stride, s.pool.pad);
      shapes.pools.push_back({{.n = n,
                               .h = x.h,
                               .w = x.w,
                               .c = x.c,
                               .p = out.map.h,
                               .q = out.map.w,
                               .k = s.pool.k,
                               .stride = s.pool.stride,
                               .pad = s.pool.pad},
                              1});
    } else if (s.kind == Kind::global_pool) {
      shapes.pooled_pixels = x.h * x.w, shapes.features = x.c;
      out.map = {1, 1, x.c};
    } else {
      shapes.classes = s.weight.size(0);
    }
    values.push_back(out);
  }
  for (const FrozenSteps::Value tap : steps.taps()) shapes.taps.push_back(values[static_cast<std::size_t>(tap)].map);
  return shapes;
}

std::string describe(const kernels::Conv2d& d) {
  std::string text = str(d.n, "x", d.h, "x", d.w, "x", d.c, " ", d.r, "x", d.s, " -> ", d.k);
  if (d.stride != 1) text += str(" /", d.stride);
  if (d.groups != 1) text += str(" in ", d.groups, " groups");
  return text;
}

double flops_of(const kernels::Conv2d& d) {
  return 2.0 * static_cast<double>(d.n * d.p * d.q * d.k) * static_cast<double>(d.c / d.groups * d.r * d.s);
}

}  // namespace pen
