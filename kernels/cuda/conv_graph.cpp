#include "kernels/cuda/conv_graph.h"

#include <algorithm>
#include <set>

#include "kernels/cuda/engine_count.h"

namespace pen::kernels::cuda {
namespace {

cudnnDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDNN_DATA_FLOAT;
    case DType::f16:
      return CUDNN_DATA_HALF;
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    default:
      fail(ErrorKind::run, str("a convolution plan for ", name_of(dtype)));
  }
}

// A tensor of logical dimensions n,c,h,w with the channels innermost in memory.
Descriptor tensor(Role role, cudnnDataType_t type, std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w,
                  bool is_virtual = false) {
  Descriptor t(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::vector<std::int64_t>{n, c, h, w})
      .set(CUDNN_ATTR_TENSOR_STRIDES, std::vector<std::int64_t>{h * w * c, 1, w * c, c})
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, static_cast<std::int64_t>(role))
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t{16})
      .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, is_virtual);
  t.finalize();
  return t;
}

Descriptor convolution(const Conv2d& d) {
  const auto both = [](std::int64_t v) { return std::vector<std::int64_t>{v, v}; };
  Descriptor conv(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  // cuDNN counts dilation from 1, as ours does. CROSS_CORRELATION is what networks call a convolution.
  conv.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, both(d.dilation))
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, both(d.stride))
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, both(d.pad))
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, both(d.pad));
  conv.finalize();
  return conv;
}

Descriptor conv_operation(ConvKind kind, const Descriptor& conv, const Descriptor& x, const Descriptor& w,
                          const Descriptor& y) {
  const auto fill = [&](cudnnBackendDescriptorType_t type, cudnnBackendAttributeName_t desc,
                        cudnnBackendAttributeName_t at_x, cudnnBackendAttributeName_t at_w,
                        cudnnBackendAttributeName_t at_y, cudnnBackendAttributeName_t alpha,
                        cudnnBackendAttributeName_t beta) {
    Descriptor op(type);
    op.set(desc, conv).set(at_x, x).set(at_w, w).set(at_y, y).set(alpha, 1.0f).set(beta, 0.0f);
    op.finalize();
    return op;
  };
  switch (kind) {
    case ConvKind::forward:
      return fill(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA);
    case ConvKind::data:
      return fill(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA);
    case ConvKind::weight:
      break;
  }
  return fill(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA);
}

// y = mode(x, b); b is null for a function of one value. slope: of a ReLU below zero.
Descriptor pointwise(cudnnPointwiseMode_t mode, const Descriptor& x, const Descriptor* b, const Descriptor& y,
                     double slope = 0) {
  Descriptor what(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  what.set(CUDNN_ATTR_POINTWISE_MODE, mode).set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  if (slope != 0) what.set(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, slope);
  what.finalize();
  Descriptor op(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  op.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  if (b) op.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
  op.finalize();
  return op;
}

EngineNotes notes_of(const Descriptor& config) {
  const std::vector<Descriptor> engines =
      config.get_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  PEN_CHECK(engines.size() == 1, "cuDNN: a configuration without an engine");
  EngineNotes found;
  for (const auto note : engines[0].get_all<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                                         CUDNN_NUMERICAL_NOTE_TYPE_COUNT))
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        found.tensor_core = true;
        break;
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        found.down_converts = true;
        break;
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        found.reduced_reduction = true;
        break;
      case CUDNN_NUMERICAL_NOTE_FFT:
        found.fft = true;
        break;
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        found.nondeterministic = true;
        break;
      case CUDNN_NUMERICAL_NOTE_WINOGRAD:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        found.winograd = true;
        break;
      default:
        break;
    }
  return found;
}

// What tells two configurations apart: the engine's number and its knobs.
std::vector<std::int64_t> identity_of(const Descriptor& config) {
  std::vector<std::int64_t> id;
  for (const Descriptor& e : config.get_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1))
    id.push_back(e.get<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
  std::vector<Descriptor> knobs = config.get_descriptors(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                                         CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS);
  for (const Descriptor& k : knobs) {
    id.push_back(k.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE));
    id.push_back(k.get<std::int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  }
  return id;
}

}  // namespace

std::vector<Role> roles_of(const ConvSpec& spec, bool fused) {
  if (spec.kind == ConvKind::weight) return {Role::x, Role::y, Role::w};
  const bool forward = spec.kind == ConvKind::forward;
  std::vector<Role> roles{forward ? Role::x : Role::y, Role::w};
  if (fused && spec.bias) roles.push_back(Role::bias);
  if (fused && spec.residual) roles.push_back(Role::residual);
  roles.push_back(forward ? Role::y : Role::x);
  return roles;
}

Descriptor conv_graph(const ConvSpec& spec, bool fused, cudnnHandle_t handle) {
  const Conv2d& d = spec.d;
  const cudnnDataType_t type = type_of(spec.dtype);
  PEN_CHECK(!spec.residual || spec.kind != ConvKind::weight, "a weight gradient has no residual");
  PEN_CHECK(!(spec.bias || spec.relu) || spec.kind == ConvKind::forward, "bias and ReLU are of the forward pass");
  const bool forward = spec.kind == ConvKind::forward;
  // Between fused operations values stay in float.
  const auto out_like = [&](Role role, cudnnDataType_t as, bool is_virtual) {
    return forward ? tensor(role, as, d.n, d.k, d.p, d.q, is_virtual)
                   : tensor(role, as, d.n, d.c, d.h, d.w, is_virtual);
  };
  const bool residual = fused && spec.residual, bias = fused && spec.bias, relu = fused && spec.relu;
  // The value behind a step: the output if no other step follows.
  const auto value = [&](Role role, bool last) {
    return last ? out_like(forward ? Role::y : Role::x, type, false) : out_like(role, CUDNN_DATA_FLOAT, true);
  };
  const Descriptor conv = convolution(d), w = tensor(Role::w, type, d.k, d.c / d.groups, d.r, d.s);
  const Descriptor x = tensor(Role::x, type, d.n, d.c, d.h, d.w), y = tensor(Role::y, type, d.n, d.k, d.p, d.q);
  std::vector<Descriptor> steps;
  if (spec.kind == ConvKind::weight) {
    steps.push_back(conv_operation(spec.kind, conv, x, w, y));
  } else {
    Descriptor sums = value(Role::after_conv, !residual && !bias && !relu);
    steps.push_back(forward ? conv_operation(spec.kind, conv, x, w, sums)
                            : conv_operation(spec.kind, conv, sums, w, y));
    if (residual) {
      Descriptor next = value(Role::after_add, !bias && !relu);
      const Descriptor z = out_like(Role::residual, type, false);
      steps.push_back(pointwise(CUDNN_POINTWISE_ADD, sums, &z, next));
      sums = std::move(next);
    }
    if (bias) {
      Descriptor next = value(Role::after_bias, !relu);
      const Descriptor b = tensor(Role::bias, type, 1, d.k, 1, 1);
      steps.push_back(pointwise(CUDNN_POINTWISE_ADD, sums, &b, next));
      sums = std::move(next);
    }
    if (relu) steps.push_back(pointwise(CUDNN_POINTWISE_RELU_FWD, sums, nullptr, y, d.relu_slope));
  }
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, steps);
  if (handle) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle);
  graph.finalize();
  return graph;
}

bool admits(const ConvSpec& spec, const EngineNotes& notes) {
  if (spec.deterministic && notes.nondeterministic) return false;
  if (notes.reduced_reduction || notes.fft || notes.winograd || notes.down_converts) return false;
  return !notes.tensor_core || spec.dtype != DType::f32 || spec.math == Math::tf32;
}

std::vector<Descriptor> engine_configs(const ConvSpec& spec, const Descriptor& graph, const Descriptor* device) {
  constexpr std::int64_t most = 64;
  std::vector<Descriptor> admitted;
  std::set<std::vector<std::int64_t>> seen;
  const auto ask = [&](cudnnBackendHeurMode_t mode) {
    Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph).set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
    if (device) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device);
    if (!heuristics.try_finalize()) return;  // no heuristic of this kind for the graph
    for (Descriptor& config :
         heuristics.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, most))
      if (admits(spec, notes_of(config)) && seen.insert(identity_of(config)).second)
        admitted.push_back(std::move(config));
  };
  ask(CUDNN_HEUR_MODE_A);
  ask(CUDNN_HEUR_MODE_B);
  if (admitted.empty()) ask(CUDNN_HEUR_MODE_FALLBACK);
  return admitted;
}

namespace {

std::optional<Descriptor> finished(Descriptor plan, cudnnHandle_t handle, const Descriptor* device) {
  if (handle) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle);
  if (device) plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *device);
  if (!plan.try_finalize()) return {};
  return plan;
}

}  // namespace

std::optional<Descriptor> plan_of(const Descriptor& config, cudnnHandle_t handle, const Descriptor* device) {
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
  return finished(std::move(plan), handle, device);
}

std::optional<Descriptor> plan_of(const std::string& text, cudnnHandle_t handle, const Descriptor* device) {
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, text);
  return finished(std::move(plan), handle, device);
}

std::string text_of(const Descriptor& plan) { return plan.get_text(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION); }

Descriptor variant_pack(const std::vector<Role>& roles, const Pointers& by_role, void* workspace) {
  std::vector<std::int64_t> ids;
  std::vector<void*> pointers;
  for (const Role role : roles) {
    ids.push_back(static_cast<std::int64_t>(role));
    pointers.push_back(const_cast<void*>(by_role.at(static_cast<std::size_t>(role))));
  }
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers)
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace);
  pack.finalize();
  return pack;
}

EngineCount count_engines(const ConvSpec& spec, bool fused, const std::string& device_json, int most_built) {
  Descriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, device_json);
  device.finalize();
  const Descriptor graph = conv_graph(spec, fused, nullptr);
  // Addresses of nothing, as aligned as a tensor's.
  Pointers pointers{};
  for (std::size_t i = 0; i < pointers.size(); ++i) pointers[i] = reinterpret_cast<const void*>((i + 1) << 20);
  variant_pack(roles_of(spec, fused), pointers, nullptr);
  EngineCount count;
  for (const Descriptor& config : engine_configs(spec, graph, &device)) {
    if (count.offered++ >= most_built) continue;
    const std::optional<Descriptor> plan = plan_of(config, nullptr, &device);
    if (!plan) continue;
    const std::string text = text_of(*plan);
    if (count.built++ == 0) count.text_bytes = text.size();
    count.read_back += plan_of(text, nullptr, &device).has_value();
  }
  return count;
}

}  // namespace pen::kernels::cuda
