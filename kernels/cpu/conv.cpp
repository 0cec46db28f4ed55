// Convolution on oneDNN. Activations keep our N,H,W,C layout; oneDNN chooses the layout of the weights, which are
// packed from K,C,R,S in each call, or once when the caller names their contents (Conv2d::weight_key).
#include <list>

#include "kernels/cpu/dnnl_common.h"
#include "kernels/kernels.h"

namespace pen::kernels::cpu {
namespace {

using dnnl::memory;
using dims = memory::dims;
enum Operation : std::int64_t { forward_op = 1, data_op = 2, weight_op = 3 };

PrimitiveKey key_of(const Conv2d& d, Operation op, bool bias) {
  return {op, bias, d.n, d.h, d.w, d.c, d.k, d.r, d.s, d.p, d.q, d.stride, d.pad, d.dilation, d.groups, 0, 0, 0, 0, 0};
}

struct Descriptions {
  memory::desc x, y, w_any, w_plain, b;
  dims strides, dilates, pad_low, pad_high;
};

Descriptions describe(const Conv2d& d) {
  using tag = memory::format_tag;
  constexpr auto f32 = memory::data_type::f32;
  Descriptions o;
  o.x = {{d.n, d.c, d.h, d.w}, f32, tag::nhwc};
  o.y = {{d.n, d.k, d.p, d.q}, f32, tag::nhwc};
  const dims w = d.groups > 1 ? dims{d.groups, d.k / d.groups, d.c / d.groups, d.r, d.s} : dims{d.k, d.c, d.r, d.s};
  o.w_any = {w, f32, tag::any};
  o.w_plain = {w, f32, d.groups > 1 ? tag::goihw : tag::oihw};
  o.b = {{d.k}, f32, tag::x};
  o.strides = {d.stride, d.stride};
  o.dilates = {d.dilation - 1, d.dilation - 1};  // oneDNN counts dilation from 0, ours from 1
  o.pad_low = {d.pad, d.pad};
  // The last window may end before the input does; oneDNN wants the exact padding, negative if so.
  o.pad_high = {(d.p - 1) * d.stride + (d.r - 1) * d.dilation + 1 - d.h - d.pad,
                (d.q - 1) * d.stride + (d.s - 1) * d.dilation + 1 - d.w - d.pad};
  return o;
}

dnnl::primitive_attr own_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

dnnl::convolution_forward::primitive_desc forward_description(const Conv2d& d, bool bias, dnnl::prop_kind kind) {
  const Descriptions o = describe(d);
  const auto algorithm = dnnl::algorithm::convolution_direct;
  using desc = dnnl::convolution_forward::desc;
  const desc description =
      bias ? desc(kind, algorithm, o.x, o.w_any, o.b, o.y, o.strides, o.dilates, o.pad_low, o.pad_high)
           : desc(kind, algorithm, o.x, o.w_any, o.y, o.strides, o.dilates, o.pad_low, o.pad_high);
  return {description, own_scratchpad(), dnnl_engine()};
}

// A primitive with what is needed to call it.
struct Plan {
  dnnl::primitive primitive;
  memory::desc x, y, w, w_plain, b, scratchpad;
  dnnl::reorder pack, unpack_write;  // plain -> w, w -> plain
  bool packed = false;               // w differs from plain

  void reorders() {
    packed = w != w_plain;
    if (!packed) return;
    const auto& engine = dnnl_engine();
    pack = dnnl::reorder(dnnl::reorder::primitive_desc(engine, w_plain, engine, w));
    unpack_write = dnnl::reorder(dnnl::reorder::primitive_desc(engine, w, engine, w_plain));
  }
};

// Packed copies of frozen weights, newest first, at most `capacity` bytes in all.
class PackedWeights {
 public:
  const void* find(std::uint64_t key, const memory::desc& layout) {
    for (auto it = entries_.begin(); it != entries_.end(); ++it)
      if (it->key == key && it->layout == layout) {
        entries_.splice(entries_.begin(), entries_, it);
        return entries_.front().data.get_data_handle();
      }
    return nullptr;
  }
  void* insert(std::uint64_t key, const memory::desc& layout) {
    const std::size_t bytes = layout.get_size();
    while (!entries_.empty() && used_ + bytes > capacity) {
      used_ -= entries_.back().layout.get_size();
      entries_.pop_back();
    }
    entries_.push_front({key, layout, memory(layout, dnnl_engine())});
    used_ += bytes;
    return entries_.front().data.get_data_handle();
  }

 private:
  static constexpr std::size_t capacity = std::size_t{512} << 20;
  struct Entry {
    std::uint64_t key;
    memory::desc layout;
    memory data;
  };
  std::list<Entry> entries_;
  std::size_t used_ = 0;
};

// The weights as the plan wants them: as they are, a kept copy, or packed into scratch memory.
const void* packed_weights(const Plan& plan, const Conv2d& d, const float* w) {
  if (!plan.packed) return w;
  thread_local PackedWeights kept;
  void* to = nullptr;
  if (d.weight_key) {
    if (const void* found = kept.find(d.weight_key, plan.w)) return found;
    to = kept.insert(d.weight_key, plan.w);
  } else {
    to = scratch(plan.w.get_size(), 1);
  }
  plan.pack.execute(dnnl_stream(), {{DNNL_ARG_FROM, wrap(plan.w_plain, w)}, {DNNL_ARG_TO, wrap(plan.w, to)}});
  return to;
}

memory scratchpad_of(const Plan& plan) { return wrap(plan.scratchpad, scratch(plan.scratchpad.get_size(), 0)); }

Plan& forward_plan(const Conv2d& d, bool bias) {
  thread_local PrimitiveCache<Plan> cache;
  return cache.get(key_of(d, forward_op, bias), [&] {
    const auto pd = forward_description(d, bias, dnnl::prop_kind::forward_inference);
    Plan plan{dnnl::convolution_forward(pd),
              pd.src_desc(),
              pd.dst_desc(),
              pd.weights_desc(),
              describe(d).w_plain,
              describe(d).b,
              pd.scratchpad_desc(),
              {},
              {}};
    plan.reorders();
    return plan;
  });
}

Plan& data_plan(const Conv2d& d) {
  thread_local PrimitiveCache<Plan> cache;
  return cache.get(key_of(d, data_op, false), [&] {
    const Descriptions o = describe(d);
    const auto hint = forward_description(d, false, dnnl::prop_kind::forward_training);
    const dnnl::convolution_backward_data::primitive_desc pd(
        {dnnl::algorithm::convolution_direct, o.x, o.w_any, o.y, o.strides, o.dilates, o.pad_low, o.pad_high},
        own_scratchpad(), dnnl_engine(), hint);
    Plan plan{dnnl::convolution_backward_data(pd),
              pd.diff_src_desc(),
              pd.diff_dst_desc(),
              pd.weights_desc(),
              o.w_plain,
              o.b,
              pd.scratchpad_desc(),
              {},
              {}};
    plan.reorders();
    return plan;
  });
}

Plan& weight_plan(const Conv2d& d) {
  thread_local PrimitiveCache<Plan> cache;
  return cache.get(key_of(d, weight_op, false), [&] {
    const Descriptions o = describe(d);
    const auto hint = forward_description(d, false, dnnl::prop_kind::forward_training);
    const dnnl::convolution_backward_weights::primitive_desc pd(
        {dnnl::algorithm::convolution_direct, o.x, o.w_any, o.y, o.strides, o.dilates, o.pad_low, o.pad_high},
        own_scratchpad(), dnnl_engine(), hint);
    Plan plan{dnnl::convolution_backward_weights(pd),
              pd.src_desc(),
              pd.diff_dst_desc(),
              pd.diff_weights_desc(),
              o.w_plain,
              o.b,
              pd.scratchpad_desc(),
              {},
              {}};
    plan.reorders();
    return plan;
  });
}

bool empty(const Conv2d& d) { return d.n == 0; }

}  // namespace

void conv2d_fwd(const Context&, const Conv2d& d, const float* x, const float* w, const float* b, float* y) {
  if (empty(d)) return;
  guarded("conv2d_fwd", [&] {
    const Plan& plan = forward_plan(d, b != nullptr);
    std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, wrap(plan.x, x)},
                                              {DNNL_ARG_WEIGHTS, wrap(plan.w, packed_weights(plan, d, w))},
                                              {DNNL_ARG_DST, wrap(plan.y, y)},
                                              {DNNL_ARG_SCRATCHPAD, scratchpad_of(plan)}};
    if (b) arguments.emplace(DNNL_ARG_BIAS, wrap(plan.b, b));
    plan.primitive.execute(dnnl_stream(), arguments);
  });
}

void conv2d_bwd_data(const Context&, const Conv2d& d, const float* dy, const float* w, float* dx) {
  if (empty(d)) return;
  guarded("conv2d_bwd_data", [&] {
    const Plan& plan = data_plan(d);
    plan.primitive.execute(dnnl_stream(), {{DNNL_ARG_DIFF_DST, wrap(plan.y, dy)},
                                           {DNNL_ARG_WEIGHTS, wrap(plan.w, packed_weights(plan, d, w))},
                                           {DNNL_ARG_DIFF_SRC, wrap(plan.x, dx)},
                                           {DNNL_ARG_SCRATCHPAD, scratchpad_of(plan)}});
  });
}

void conv2d_bwd_weight(const Context& ctx, const Conv2d& d, const float* x, const float* dy, float* dw, Accum accum) {
  const std::int64_t size = d.k * (d.c / d.groups) * d.r * d.s;
  if (empty(d)) {
    if (accum == Accum::write) cpu::fill(ctx, size, 0.0, dw);
    return;
  }
  guarded("conv2d_bwd_weight", [&] {
    const Plan& plan = weight_plan(d);
    const bool direct = !plan.packed && accum == Accum::write;
    void* to = direct ? dw : scratch(plan.w.get_size(), 1);
    plan.primitive.execute(dnnl_stream(), {{DNNL_ARG_SRC, wrap(plan.x, x)},
                                           {DNNL_ARG_DIFF_DST, wrap(plan.y, dy)},
                                           {DNNL_ARG_DIFF_WEIGHTS, wrap(plan.w, to)},
                                           {DNNL_ARG_SCRATCHPAD, scratchpad_of(plan)}});
    if (direct) return;
    const float* plain = static_cast<const float*>(to);
    if (plan.packed) {
      float* unpacked = accum == Accum::write ? dw : static_cast<float*>(scratch(plan.w_plain.get_size(), 2));
      plan.unpack_write.execute(dnnl_stream(),
                                {{DNNL_ARG_FROM, wrap(plan.w, to)}, {DNNL_ARG_TO, wrap(plan.w_plain, unpacked)}});
      plain = unpacked;
    }
    if (accum == Accum::add) cpu::add_scaled(ctx, size, 1.0, plain, 1.0, dw, dw);
  });
}

// Double is for checks: it runs the plain loops.
void conv2d_fwd(const Context& ctx, const Conv2d& d, const double* x, const double* w, const double* b, double* y) {
  ref::conv2d_fwd(ctx, d, x, w, b, y);
}
void conv2d_bwd_data(const Context& ctx, const Conv2d& d, const double* dy, const double* w, double* dx) {
  ref::conv2d_bwd_data(ctx, d, dy, w, dx);
}
void conv2d_bwd_weight(const Context& ctx, const Conv2d& d, const double* x, const double* dy, double* dw,
                       Accum accum) {
  ref::conv2d_bwd_weight(ctx, d, x, dy, dw, accum);
}

}  // namespace pen::kernels::cpu
