// Layers with parameters, named and initialised as PyTorch's.
#pragma once

#include "layers/init.h"
#include "layers/module.h"
#include "layers/narrowed.h"
#include "tensor/ops.h"

namespace pen {

// weight (K,C,R,S), bias (K) if wanted.
class Conv2d : public Module {
 public:
  // kernel x kernel windows. Weights N(0, sqrt(2 / (kernel^2 K))) (He et al. 2015, by fan-out), bias
  // U(+-1/sqrt(fan-in)).
  Conv2d(std::int64_t in, std::int64_t out, int kernel, ops::ConvOptions options, bool bias, Rng& rng);
  // x may be of 16 bit beside float32 weights; then y is.
  Tensor forward(const Tensor& x) {
    return hooked(ops::conv2d(x, weight, bias, options, narrowed_.of(weight, x.dtype())));
  }
  Tensor& weight;
  Tensor bias_off;  // undefined: what forward passes when there is no bias
  Tensor& bias;
  ops::ConvOptions options;

 private:
  Narrowed narrowed_;
};

// weight (K,C), bias (K); both U(+-1/sqrt(C)), PyTorch's default.
class Linear : public Module {
 public:
  Linear(std::int64_t in, std::int64_t out, Rng& rng);
  Tensor forward(const Tensor& x) { return hooked(ops::linear(x, weight, bias)); }
  Tensor &weight, &bias;
};

// weight 1, bias 0, running_mean 0, running_var 1, num_batches_tracked (i64).
class BatchNorm2d : public Module {
 public:
  explicit BatchNorm2d(std::int64_t channels);
  // norm(x) + residual, then ReLU if wanted; batch statistics while training, running ones otherwise.
  Tensor forward(const Tensor& x, bool relu = false, const Tensor& residual = {});
  Tensor &weight, &bias, &running_mean, &running_var, &num_batches_tracked;
  double eps = 1e-5, momentum = 0.1;
};

// weight (classes,width) ~ N(0, 1).
class Embedding : public Module {
 public:
  Embedding(std::int64_t classes, std::int64_t width, Rng& rng);
  Tensor forward(const Tensor& ids) { return hooked(ops::embedding(weight, ids)); }
  Tensor& weight;
};

// Children by number: "0", "1", ... Owns them.
template <class T>
class ModuleList : public Module {
 public:
  template <class... Args>
  T& emplace(Args&&... args) {
    items_.push_back(std::make_unique<T>(std::forward<Args>(args)...));
    add_child(std::to_string(items_.size() - 1), *items_.back());
    return *items_.back();
  }
  T& operator[](std::size_t i) { return *items_.at(i); }
  const T& operator[](std::size_t i) const { return *items_.at(i); }
  std::size_t size() const { return items_.size(); }
  // What came out of the last item is the result of the list: whoever runs it hands it over here, for the list's hook.
  Tensor finish(Tensor result) { return hooked(std::move(result)); }

 private:
  std::vector<std::unique_ptr<T>> items_;
};

}  // namespace pen
