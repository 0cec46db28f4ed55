// Optimisers over named parameters. Their whole state can be listed, saved and loaded.
#pragma once

#include <cstdint>
#include <vector>

#include "layers/module.h"

namespace pen {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // One update of every parameter that has a gradient. control (update_control() below): nothing changes where it says
  // so, and gradients are multiplied by its factor first. Undefined: neither. The count of steps grows either way: on a
  // GPU nobody knows yet.
  virtual void step(const Tensor& control = {}) = 0;
  // The state as tensors named "<parameter>.<entry>", sharing memory with the optimiser.
  virtual std::vector<NamedTensor> state() = 0;
  virtual std::int64_t steps() const = 0;
  virtual void set_steps(std::int64_t steps) = 0;
  // Rate, decay and the like as JSON, under the names of a PyTorch optimizer's param_groups.
  virtual std::string group() const = 0;

  void zero_grad();
  const std::vector<NamedTensor>& parameters() const { return parameters_; }
  double lr;

 protected:
  Optimizer(std::vector<NamedTensor> parameters, double rate) : lr(rate), parameters_(std::move(parameters)) {}
  std::vector<NamedTensor> parameters_;
};

// SGD with momentum and L2 decay, PyTorch's form: g' = g + decay w; v = momentum v + g'; w -= lr v.
class Sgd : public Optimizer {
 public:
  Sgd(std::vector<NamedTensor> parameters, double lr, double momentum, double weight_decay);
  void step(const Tensor& control = {}) override;
  std::vector<NamedTensor> state() override;  // <parameter>.momentum_buffer
  std::int64_t steps() const override { return steps_; }
  void set_steps(std::int64_t steps) override { steps_ = steps; }
  std::string group() const override;

 private:
  double momentum_, decay_;
  std::int64_t steps_ = 0;
  std::vector<Tensor> velocity_;
};

// Adam (Kingma, Ba, ICLR 2015) with L2 decay added to the gradient, not decoupled.
class Adam : public Optimizer {
 public:
  Adam(std::vector<NamedTensor> parameters, double lr, double weight_decay, double beta1 = 0.9, double beta2 = 0.999,
       double eps = 1e-8);
  void step(const Tensor& control = {}) override;
  std::vector<NamedTensor> state() override;  // <parameter>.exp_avg, <parameter>.exp_avg_sq
  std::int64_t steps() const override { return steps_; }
  void set_steps(std::int64_t steps) override { steps_ = steps; }
  std::string group() const override;

 private:
  double decay_, beta1_, beta2_, eps_;
  std::int64_t steps_ = 0;
  std::vector<Tensor> mean_, square_;
};

// What updates go by, on the device of the losses (kernels::UpdateControl): whether all of them are finite. Nobody
// waits for it.
Tensor update_control(const std::vector<Tensor>& losses);
// The same with these gradients' sum of squares, and the factor that clips their norm: min(1, max_norm / (norm +
// 1e-6)), as PyTorch's clip_grad_norm_.
Tensor clipped(const Tensor& control, const std::vector<NamedTensor>& parameters, double max_norm);
// Takes control's leave to update where a gradient is not finite, and returns the sum of squares (1, double) of all
// that are there, which is finite where they are.
Tensor require_finite(const std::vector<Tensor>& gradients, Tensor& control);
std::vector<Tensor> gradients_of(const std::vector<NamedTensor>& parameters);  // those that are there
// control with its factor for gradients times this one: a power of two takes a loss's scale out of them, exactly.
Tensor rescaled(const Tensor& control, double factor);

}  // namespace pen
