// Plans of convolutions on one GPU: found in memory, else on disk (plan_store.h), else chosen by timing what cuDNN's
// heuristics offer, once.
#pragma once

#include <functional>

#include "kernels/conv_spec.h"
#include "kernels/cuda/conv_graph.h"
#include "kernels/cuda/libraries.h"

namespace pen::kernels::cuda {

// A plan that is ready to run.
class ConvPlan {
 public:
  ConvPlan(const ConvSpec& spec, bool fused, Descriptor plan);
  // Whether bias, residual and ReLU are part of it; if not they are the caller's to do.
  bool fused() const { return fused_; }
  const Descriptor& descriptor() const { return plan_; }
  std::size_t workspace() const { return workspace_; }
  // Memory by role; weights as K,R,S,C. The output does not overlap an input.
  void run(Libraries& libraries, const Pointers& by_role) const;

 private:
  bool fused_;
  Descriptor plan_;
  std::size_t workspace_;
  std::vector<Role> roles_;
};

// The best plan for the spec, or null where cuDNN has none (said once in the log). `trial` runs the whole kernel with a
// plan (epilogue included) on memory of its own; it is called only when a plan is chosen. Valid while `libraries` is.
const ConvPlan* conv_plan(Libraries& libraries, const Context& ctx, const ConvSpec& spec,
                          const std::function<void(const ConvPlan&)>& trial);

}  // namespace pen::kernels::cuda
