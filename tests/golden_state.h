// Networks against recordings: computed weights, sampled tensors, and the two tolerance rules (double and float32) of
// networks that were recorded in both types.
#pragma once

#include <string>
#include <vector>

#include "layers/module.h"
#include "tests/compare.h"
#include "tests/golden.h"

namespace pen::test {

// The recordings' weights.
inline void fill_state(Module& module, const std::string& prefix, std::uint64_t seed) {
  set_fixed_state(module, prefix, seed);
}

// factor * fill(name, shape), shape as recorded (N,C,H,W), as a tensor (N,H,W,C).
Tensor fill_activation(const std::string& name, const Shape& nchw, std::uint64_t seed, DType dtype, float factor = 1);

// batch(n) of the recordings, (n,224,224,3).
inline Tensor smooth_batch(std::int64_t n, std::uint64_t seed, DType dtype) {
  return fixed_images("step.x", n, 224, seed).to(dtype);
}

// All elements as doubles: as they lie in memory, or an activation (N,H,W,C) in the order N,C,H,W of the recordings.
std::vector<double> values_of(const Tensor& t);
std::vector<double> channels_first(const Tensor& t);

// One tensor in the recordings' order, with its shape there.
struct Answer {
  Shape shape;
  std::vector<double> values;
};
Answer activation(const Tensor& nhwc);      // four dimensions: turned to N,C,H,W; else as it is
Answer parameter(const Tensor& as_stored);  // weights are K,C,R,S on both sides

// A tensor of a recording: stored whole (`name`), or sampled (`name#shape`, `name#sample`, `name#moments`).
class RecordedTensor {
 public:
  RecordedTensor(const Golden& golden, const std::string& name);
  const std::vector<double>& stored() const { return stored_; }
  // The elements of `whole` (N,C,H,W order) at the stored places.
  std::vector<double> sampled(const std::vector<double>& whole) const;
  // Relative L2 of the stored elements at most `tolerance`; and the moments (sum, sum |x|, sum x^2, max |x|) of the
  // whole tensor no farther than an error of that size anywhere in it allows.
  // slack: a share of the moments that they may differ by in any case.
  Difference compare(const Answer& got, double tolerance, double slack = 0) const;

 private:
  std::string name_;
  Shape shape_;
  std::vector<double> stored_, moments_;  // no moments when stored whole
  std::int64_t stride_ = 1;
};

// The stride of a sample: the smallest odd s with ceil(numel / s) = count. An error if there is none.
std::int64_t sample_stride(std::int64_t numel, std::int64_t count);

// A case that was recorded in float32 (<case>.safetensors) and in double (<case>_f64.safetensors).
class Recorded {
 public:
  // sharp: what a computation in double may differ by (relative L2).
  Recorded(const std::string& name, double sharp);
  std::uint64_t seed() const { return f64_.seed(); }
  std::string meta(const std::string& key) const { return f64_.meta(key); }
  // Names of recorded tensors with this prefix, which is left out; those stored as samples once.
  std::vector<std::string> names(const std::string& prefix) const;
  bool has(const std::string& name) const { return f64_.has(name) || f64_.has(name + "#sample"); }
  // Against the recording in double. A result in double: at most `sharp`. In float32: at most 4 times the distance of
  // the recording in float32, or 1e-6 where that is larger.
  Difference compare(const std::string& name, const Answer& got, DType computed_in) const;

 private:
  Golden f32_, f64_;
  double sharp_;
};

}  // namespace pen::test
