// Weights and images that any program can compute for itself: benchmarks race on them, recordings were made with them.
// splitmix64 (Steele, Lea, Flood 2014) over the FNV-1a hash of a tensor's name; bench/pytorch/fixed.py is the same
// rule.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layers/module.h"

namespace pen {

// float32 in [-1, 1), row-major over the shape as written.
std::vector<float> fixed_values(const std::string& name, const Shape& shape, std::uint64_t seed = 0);

// Overwrites every entry of the module's state with v = fixed_values(prefix + name), scaled by kind: two or more
// dimensions v * sqrt(3 / product of all but the first), which is a variance of 1/fan_in; running_var 1 + 0.5 v;
// running_mean and biases 0.1 v; other one-dimensional weights 0.75 + 0.25 v; integers 0. Activations stay moderate in
// every layer. Computed in float32, then converted to the module's dtype. A name that no rule covers is an error.
void set_fixed_state(Module& module, const std::string& prefix, std::uint64_t seed = 0);

// (n,side,side,3), smooth noise of about unit variance: 6 * avgpool9(reflect_pad4(2 * fixed_values(name,
// (n,3,side,side)))), in float32 and in PyTorch's order of sums. side is at least 5.
Tensor fixed_images(const std::string& name, std::int64_t n, std::int64_t side, std::uint64_t seed = 0);

}  // namespace pen
