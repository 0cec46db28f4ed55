// Integrated gradients with their signs, before they become a map.
#pragma once

#include "eval/attribution/method.h"

namespace pen::eval {

// x (integral over a in [0, 1] of dz/dx at a x), by the midpoint rule with options.steps points (Sundararajan et al.
// 2017). The baseline is 0, the normalisation's mean colour, which is also what masks put in the place of what they
// remove. Completeness: the sum over an image tends to z(x) - z(0).
struct IntegratedGradients {
  Tensor attribution;  // (N,S,S,3) double
  Tensor logits;       // (N,classes)
  std::vector<std::int64_t> targets;
};
IntegratedGradients integrated_gradients(const Question& question);

}  // namespace pen::eval
