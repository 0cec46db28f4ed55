// What the convolution twins on oneDNN share: descriptions, plans, packed weights. Activations keep our N,H,W,C layout;
// oneDNN chooses the layout of the weights, which are packed from K,C,R,S in each call, or once for all calls when the
// caller names their contents (Conv2d::weight_key).
#pragma once

#include <functional>

#include "kernels/cpu/conv_pack.h"
#include "kernels/cpu/dnnl_common.h"

namespace pen::kernels::cpu {

enum class ConvOperation : std::int64_t { forward = 1, data = 2, weight = 3, fused = 4, winograd = 5 };

struct ConvDescriptions {
  dnnl::memory::desc x, y, w_any, w_plain, b;
  dnnl::memory::dims strides, dilates, pad_low, pad_high;
};
// `type` is that of activations and weights, f32 or bf16; biases are f32.
ConvDescriptions describe(const Conv2d& d, DType type = DType::f32);

// What tells two plans apart; `variant` numbers what an operation does beside convolving.
PrimitiveKey key_of(const Conv2d& d, ConvOperation op, std::int64_t variant, DType type = DType::f32);

// Scratch memory is the caller's; `after` are post-operations.
dnnl::primitive_attr conv_attributes(const dnnl::post_ops& after = {});

// Forward, with oneDNN's post-operations if any.
dnnl::convolution_forward::primitive_desc forward_description(const Conv2d& d, bool bias, dnnl::prop_kind kind,
                                                              const dnnl::post_ops& after = {},
                                                              DType type = DType::f32);

// A primitive with what is needed to call it.
struct ConvPlan {
  dnnl::primitive primitive;
  dnnl::memory::desc x, y, w, w_plain, b, scratchpad;
  dnnl::reorder pack, unpack;            // plain -> w; w -> plain, for gradients of weights
  std::optional<BlockedWeights> blocks;  // w, where our own loops know it: they run in place of the reorders
  bool packed = false;                   // w differs from plain

  void reorders();
};
ConvPlan forward_plan_of(const dnnl::convolution_forward::primitive_desc& pd, const Conv2d& d, DType type = DType::f32);
// The plan of conv2d_bwd_data for these dimensions.
const ConvPlan& data_plan(const Conv2d& d, DType type = DType::f32);

// See Conv2d::weight_key, weight_owner.
struct WeightName {
  std::uint64_t key = 0, owner = 0;
};
inline WeightName name_of(const Conv2d& d) { return {d.weight_key, d.weight_owner}; }
// Of what a data gradient makes of them: other contents than theirs, so another name.
inline WeightName name_of_transposed(const Conv2d& d) {
  return {d.weight_key ? ~d.weight_key : 0, d.weight_owner ? ~d.weight_owner : 0};
}

// A copy of weights in some layout: the one kept under this name, or what `make` writes to kept memory, or to scratch
// memory (slot 1) if they have no name.
const void* kept_weights(const dnnl::memory::desc& layout, WeightName name, const std::function<void(void*)>& make);

// Weights as the plan wants them: as they are, a kept copy, or packed into scratch memory. `plain` gives them in
// K,C,R,S and is asked only if there is no kept copy.
const void* packed_weights(const ConvPlan& plan, WeightName name, const std::function<const void*()>& plain);

// Scratch memory (slot 0) for the plan's primitive.
dnnl::memory scratchpad_of(const ConvPlan& plan);

}  // namespace pen::kernels::cpu
