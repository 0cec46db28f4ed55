// A convolution with what stands around it as a cuDNN operation graph, and the engines that can run it. Activations are
// N,H,W,C and weights K,R,S,C in memory; cuDNN writes dimensions in the order N,C,H,W and lets strides say the rest.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "kernels/conv_spec.h"
#include "kernels/cuda/cudnn_descriptor.h"

namespace pen::kernels::cuda {

// The tensors of a graph, by the unique id that cuDNN knows them by. forward: x, w -> y; data: y, w -> x, where y is dy
// and x is dx; weight: x, y -> w. `bias` and `residual` are read where the spec has them.
enum class Role : std::int64_t {
  x = 1,
  w = 2,
  y = 3,
  bias = 4,
  residual = 5,
  after_conv = 11,
  after_add = 12,
  after_bias = 13
};

// The roles that a graph reads and writes in memory (not those between fused operations), the output last.
std::vector<Role> roles_of(const ConvSpec& spec, bool fused);

// The finalized graph: with bias, residual and ReLU if `fused`, else the convolution alone. `handle` may be null where
// a described GPU is used.
Descriptor conv_graph(const ConvSpec& spec, bool fused, cudnnHandle_t handle);

// What cuDNN says about an engine, as far as a choice depends on it.
struct EngineNotes {
  bool tensor_core = false, down_converts = false, reduced_reduction = false, fft = false, winograd = false;
  bool nondeterministic = false;
};
// Whether such an engine may serve the spec: float32 without tensor cores unless TF32 is allowed, 16 bit with them;
// never with inputs or sums of fewer bits than the type has (sums: float32), no FFT and no Winograd, whose rounding
// errors are larger; deterministic specs with deterministic engines only.
bool admits(const ConvSpec& spec, const EngineNotes& notes);

// Engine configurations for the graph in the order of cuDNN's heuristics A, B and (where both have none) fallback, each
// configuration once, filtered by `admits`. `device` describes a GPU (null: the handle's).
std::vector<Descriptor> engine_configs(const ConvSpec& spec, const Descriptor& graph, const Descriptor* device);

// The plan of a configuration, or of the text that cuDNN made of a plan. Nothing where cuDNN cannot build it.
std::optional<Descriptor> plan_of(const Descriptor& config, cudnnHandle_t handle, const Descriptor* device);
std::optional<Descriptor> plan_of(const std::string& text, cudnnHandle_t handle, const Descriptor* device);
std::string text_of(const Descriptor& plan);

// What a plan runs on: memory by role, indexed by the role's number.
using Pointers = std::array<const void*, 6>;
Descriptor variant_pack(const std::vector<Role>& roles, const Pointers& by_role, void* workspace);

}  // namespace pen::kernels::cuda
