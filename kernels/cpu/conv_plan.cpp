#include "kernels/cpu/conv_plan.h"

#include <cstdlib>
#include <list>
#include <new>
#include <utility>

#include "base/pages.h"

namespace pen::kernels::cpu {
namespace {

using dnnl::memory;
using dims = memory::dims;

// Packed copies of weights, newest first, at most `capacity` bytes in all.
class PackedWeights {
 public:
  const void* find(std::uint64_t key, const memory::desc& layout) {
    for (auto it = entries_.begin(); it != entries_.end(); ++it)
      if (it->name.key == key && it->layout == layout) {
        entries_.splice(entries_.begin(), entries_, it);
        return entries_.front().data.get();
      }
    return nullptr;
  }
  // Memory for a copy; what the same owner held before goes.
  void* insert(WeightName name, const memory::desc& layout) {
    if (name.owner)
      for (auto it = entries_.begin(); it != entries_.end(); ++it)
        if (it->name.owner == name.owner && it->layout == layout) {
          it->name = name;
          entries_.splice(entries_.begin(), entries_, it);
          return entries_.front().data.get();
        }
    const std::size_t bytes = layout.get_size();
    while (!entries_.empty() && used_ + bytes > capacity) {
      used_ -= entries_.back().layout.get_size();
      entries_.pop_back();
    }
    std::unique_ptr<void, Free> data(allocate_pages(bytes));
    if (!data) throw std::bad_alloc();
    entries_.push_front({name, layout, std::move(data)});
    used_ += bytes;
    return entries_.front().data.get();
  }
  // The copy inserted last could not be made: nobody may find what is there.
  void drop_newest() {
    used_ -= entries_.front().layout.get_size();
    entries_.pop_front();
  }

 private:
  static constexpr std::size_t capacity = std::size_t{512} << 20;
  struct Free {
    void operator()(void* data) const { std::free(data); }
  };
  struct Entry {
    WeightName name;
    memory::desc layout;
    std::unique_ptr<void, Free> data;
  };
  std::list<Entry> entries_;
  std::size_t used_ = 0;
};

}  // namespace

dnnl::primitive_attr conv_attributes(const dnnl::post_ops& after) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attr.set_post_ops(after);
  return attr;
}

PrimitiveKey key_of(const Conv2d& d, ConvOperation op, std::int64_t variant, DType type) {
  return {static_cast<std::int64_t>(op),
          variant,
          d.n,
          d.h,
          d.w,
          d.c,
          d.k,
          d.r,
          d.s,
          d.p,
          d.q,
          d.stride,
          d.pad,
          d.dilation,
          d.groups,
          static_cast<std::int64_t>(type),
          0,
          0,
          0,
          0};
}

ConvDescriptions describe(const Conv2d& d, DType type) {
  using tag = memory::format_tag;
  const auto t = type == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  ConvDescriptions o;
  o.x = {{d.n, d.c, d.h, d.w}, t, tag::nhwc};
  o.y = {{d.n, d.k, d.p, d.q}, t, tag::nhwc};
  const dims w = d.groups > 1 ? dims{d.groups, d.k / d.groups, d.c / d.groups, d.r, d.s} : dims{d.k, d.c, d.r, d.s};
  o.w_any = {w, t, tag::any};
  o.w_plain = {w, t, d.groups > 1 ? tag::goihw : tag::oihw};
  o.b = {{d.k}, memory::data_type::f32, tag::x};
  o.strides = {d.stride, d.stride};
  o.dilates = {d.dilation - 1, d.dilation - 1};  // oneDNN counts dilation from 0, ours from 1
  o.pad_low = {d.pad, d.pad};
  // The last window may end before the input does; oneDNN wants the exact padding, negative if so.
  o.pad_high = {(d.p - 1) * d.stride + (d.r - 1) * d.dilation + 1 - d.h - d.pad,
                (d.q - 1) * d.stride + (d.s - 1) * d.dilation + 1 - d.w - d.pad};
  return o;
}

dnnl::convolution_forward::primitive_desc forward_description(const Conv2d& d, bool bias, dnnl::prop_kind kind,
                                                              const dnnl::post_ops& after, DType type) {
  const ConvDescriptions o = describe(d, type);
  const auto algorithm = dnnl::algorithm::convolution_direct;
  using desc = dnnl::convolution_forward::desc;
  const desc description =
      bias ? desc(kind, algorithm, o.x, o.w_any, o.b, o.y, o.strides, o.dilates, o.pad_low, o.pad_high)
           : desc(kind, algorithm, o.x, o.w_any, o.y, o.strides, o.dilates, o.pad_low, o.pad_high);
  return {description, conv_attributes(after), dnnl_engine()};
}

void ConvPlan::reorders() {
  packed = w != w_plain;
  if (!packed) return;
  blocks = blocked_weights(w);
  if (blocks) return;
  const auto& engine = dnnl_engine();
  pack = dnnl::reorder(dnnl::reorder::primitive_desc(engine, w_plain, engine, w));
}

ConvPlan forward_plan_of(const dnnl::convolution_forward::primitive_desc& pd, const Conv2d& d, DType type) {
  const ConvDescriptions o = describe(d, type);
  ConvPlan plan{dnnl::convolution_forward(pd),
                pd.src_desc(),
                pd.dst_desc(),
                pd.weights_desc(),
                o.w_plain,
                o.b,
                pd.scratchpad_desc(),
                {},
                {},
                {}};
  plan.reorders();
  return plan;
}

const ConvPlan& data_plan(const Conv2d& d, DType type) {
  thread_local PrimitiveCache<ConvPlan> cache;
  return cache.get(key_of(d, ConvOperation::data, 0, type), [&] {
    const ConvDescriptions o = describe(d, type);
    const auto hint = forward_description(d, false, dnnl::prop_kind::forward_training, {}, type);
    const dnnl::convolution_backward_data::primitive_desc pd(
        {dnnl::algorithm::convolution_direct, o.x, o.w_any, o.y, o.strides, o.dilates, o.pad_low, o.pad_high},
        conv_attributes(), dnnl_engine(), hint);
    ConvPlan plan{dnnl::convolution_backward_data(pd),
                  pd.diff_src_desc(),
                  pd.diff_dst_desc(),
                  pd.weights_desc(),
                  o.w_plain,
                  o.b,
                  pd.scratchpad_desc(),
                  {},
                  {},
                  {}};
    plan.reorders();
    return plan;
  });
}

const void* kept_weights(const memory::desc& layout, WeightName name, const std::function<void(void*)>& make) {
  thread_local PackedWeights kept;
  if (name.key) {
    if (const void* found = kept.find(name.key, layout)) return found;
    void* const to = kept.insert(name, layout);
    try {
      make(to);
    } catch (...) {
      kept.drop_newest();
      throw;
    }
    return to;
  }
  void* const to = scratch(layout.get_size(), 1);
  make(to);
  return to;
}

const void* packed_weights(const ConvPlan& plan, WeightName name, const std::function<const void*()>& plain) {
  if (!plan.packed) return plain();
  return kept_weights(plan.w, name, [&](void* to) {
    if (plan.blocks)
      pack_weights(*plan.blocks, static_cast<const float*>(plain()), static_cast<float*>(to));
    else
      plan.pack.execute(dnnl_stream(), {{DNNL_ARG_FROM, wrap(plan.w_plain, plain())}, {DNNL_ARG_TO, wrap(plan.w, to)}});
  });
}

dnnl::memory scratchpad_of(const ConvPlan& plan) {
  return wrap(plan.scratchpad, scratch(plan.scratchpad.get_size(), 0));
}

}  // namespace pen::kernels::cpu
