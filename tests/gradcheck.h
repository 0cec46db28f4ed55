// Gradients by central finite differences in double, and random inputs that stay away from kinks. The loss is <w, y>
// with a random cotangent w: with sum(y) a wrong softmax or batch norm gradient would pass.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tensor/autograd.h"
#include "tests/compare.h"

namespace pen::test {

// y from inputs; called many times, so it must not depend on earlier calls (running statistics are made inside).
using Function = std::function<Tensor(const std::vector<Tensor>&)>;

struct GradcheckOptions {
  double step = 1e-5;         // of the central difference
  double tolerance = 1e-7;    // of max |difference| over the input's max |numeric gradient|
  std::int64_t samples = 80;  // inputs with more elements are checked at this many random ones
  std::uint64_t seed = 1;     // of the cotangent and of the sampled elements
  // Whose finite differences are meant, where that is not the function itself (straight-through estimators).
  Function surrogate;
};

// Holds the gradients of all f64 inputs (others are constants) against finite differences. Not ok: an input without a
// gradient, a gradient of another shape, one that is zero everywhere (such a case would test nothing), NaN. The message
// names the input and the worst element.
Difference gradcheck(const Function& f, const std::vector<Tensor>& inputs, const GradcheckOptions& options = {});

// The random cotangent of a result: uniform in [-1, 1), a function of seed alone.
Tensor cotangent(const Tensor& y, std::uint64_t seed);

// The floating-point inputs as fresh leaves of a dtype that require gradients (those that `wanted` names; empty: all);
// integer inputs as they are.
std::vector<Tensor> leaves(const std::vector<Tensor>& inputs, DType dtype, const std::vector<bool>& wanted = {});
bool is_real(const Tensor& t);

// Random inputs in double, all a function of seed.
Tensor uniform(Shape shape, std::uint64_t seed, double low = -1, double high = 1);
// |x| in [low, high) with random signs: no element near 0.
Tensor away_from_zero(Shape shape, std::uint64_t seed, double low = 0.2, double high = 1.2);
// A random permutation of equally spaced values in [-1, 1]: no two elements are near each other.
Tensor distinct(Shape shape, std::uint64_t seed);

}  // namespace pen::test
