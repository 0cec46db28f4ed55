#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "base/parallel.h"
#include "layers/frozen_plan.h"

namespace pen {
namespace {

void check_finite(const std::vector<double>& values) {
  for (const double v : values)
    if (!std::isfinite(v)) throw NotFinite(str("freeze: a weight of the network is ", v, ": it cannot be used"));
}

Tensor as(const std::vector<double>& values, const Shape& shape, const Tensor& like) {
  check_finite(values);
  return Tensor::from(values, shape).to(like.dtype()).to(like.device());
}

// w (K,C,R,S) times a factor for each of K, in double and rounded once.
Tensor scaled(const Tensor& w, const std::vector<double>& scale) {
  const Tensor from = w.detach().to(Device{});
  Tensor out = Tensor::empty(w.shape(), w.dtype());
  const auto filters = static_cast<std::int64_t>(scale.size()), each = w.numel() / std::max<std::int64_t>(filters, 1);
  std::atomic<bool> finite = true;
  dispatch(w.dtype(), "freeze", [&]<class T>() {
    const T* const x = from.data<T>();
    T* const y = out.mutable_data<T>();
    parallel_for(filters, 65536 / std::max<std::int64_t>(each, 1) + 1, [&](std::int64_t begin, std::int64_t end) {
      bool all = true;
      for (std::int64_t k = begin; k < end; ++k) {
        const double factor = scale[static_cast<std::size_t>(k)];
        for (std::int64_t i = k * each; i < (k + 1) * each; ++i) {
          y[i] = static_cast<T>(static_cast<double>(x[i]) * factor);
          all &= std::isfinite(y[i]);
        }
      }
      if (!all) finite = false;
    });
  });
  if (!finite) check_finite(out.to(DType::f64).to_vector<double>());  // which says what it is
  return out.to(w.device());
}

}  // namespace

FrozenSteps::Value FrozenSteps::add(Step step) {
  step.out = values();
  PEN_CHECK(step.in >= 0 && step.in < step.out && step.residual < step.out, "freeze: a step reads a later value");
  steps_.push_back(std::move(step));
  return steps_.back().out;
}

FrozenSteps::Value FrozenSteps::conv(Value x, const Conv2d& layer, const BatchNorm2d* norm, bool relu, Value residual,
                                     double slope) {
  PEN_CHECK(slope >= 0 && slope < 1, "freeze: a ReLU of slope ", slope, "; from 0 to below 1 is known");
  Step step;
  step.in = x, step.residual = residual, step.relu = relu, step.slope = slope, step.conv = layer.options;
  std::vector<double> scale(static_cast<std::size_t>(layer.weight.size(0)), 1.0), b(scale.size(), 0.0);
  if (layer.bias.defined()) b = layer.bias.to(DType::f64).to_vector<double>();
  if (norm) {
    PEN_CHECK(!norm->is_training(), "freeze: the network is in training mode; call eval() first");
    const auto gamma = norm->weight.to(DType::f64).to_vector<double>(),
               beta = norm->bias.to(DType::f64).to_vector<double>(),
               mean = norm->running_mean.to(DType::f64).to_vector<double>(),
               var = norm->running_var.to(DType::f64).to_vector<double>();
    for (std::size_t k = 0; k < b.size(); ++k) {
      scale[k] = gamma[k] / std::sqrt(var[k] + norm->eps);
      b[k] = (b[k] - mean[k]) * scale[k] + beta[k];
    }
  }
  step.weight = scaled(layer.weight, scale);
  step.bias = as(b, {layer.weight.size(0)}, layer.weight);
  return add(std::move(step));
}

void FrozenSteps::narrow_weights(DType type) {
  for (Step& step : steps_) {
    if (step.kind != Kind::conv) continue;
    if (type == DType::f16)
      for (const float w : step.weight.to_vector<float>())
        if (!std::isfinite(static_cast<float>(f16(w))))
          fail(ErrorKind::usage, str("freeze: a weight with its norm folded in is ", w, ", fp16 ends at 65504"),
               "--precision bf16 has the range of float32");
    step.weight = step.weight.to(type);
  }
}

FrozenSteps::Value FrozenSteps::max_pool(Value x, const ops::PoolOptions& options) {
  Step step;
  step.kind = Kind::max_pool, step.in = x, step.pool = options;
  return add(std::move(step));
}

FrozenSteps::Value FrozenSteps::global_avg_pool(Value x) {
  Step step;
  step.kind = Kind::global_pool, step.in = x;
  return add(std::move(step));
}

FrozenSteps::Value FrozenSteps::linear(Value x, const Linear& layer) {
  Step step;
  step.kind = Kind::linear, step.in = x;
  step.weight = as(layer.weight.to(DType::f64).to_vector<double>(), layer.weight.shape(), layer.weight);
  step.bias = as(layer.bias.to(DType::f64).to_vector<double>(), layer.bias.shape(), layer.weight);
  return add(std::move(step));
}

}  // namespace pen
