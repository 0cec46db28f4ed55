#include "layers/basic.h"

#include <cmath>

namespace pen {

Conv2d::Conv2d(std::int64_t in, std::int64_t out, int kernel, ops::ConvOptions o, bool with_bias, Rng& rng)
    : weight(add_parameter("weight", Tensor::empty({out, in / o.groups, kernel, kernel}))),
      bias(with_bias ? add_parameter("bias", Tensor::empty({out})) : bias_off),
      options(o) {
  const double area = static_cast<double>(kernel) * kernel;
  init::normal(weight, std::sqrt(2.0 / (area * static_cast<double>(out))), rng);
  if (with_bias) init::uniform(bias, 1.0 / std::sqrt(area * static_cast<double>(in / o.groups)), rng);
}

Linear::Linear(std::int64_t in, std::int64_t out, Rng& rng)
    : weight(add_parameter("weight", Tensor::empty({out, in}))), bias(add_parameter("bias", Tensor::empty({out}))) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(in));
  init::uniform(weight, bound, rng);
  init::uniform(bias, bound, rng);
}

BatchNorm2d::BatchNorm2d(std::int64_t channels)
    : weight(add_parameter("weight", Tensor::full({channels}, 1.0))),
      bias(add_parameter("bias", Tensor::zeros({channels}))),
      running_mean(add_buffer("running_mean", Tensor::zeros({channels}))),
      running_var(add_buffer("running_var", Tensor::full({channels}, 1.0))),
      num_batches_tracked(add_buffer("num_batches_tracked", Tensor::zeros({}, DType::i64))) {}

Tensor BatchNorm2d::forward(const Tensor& x, bool relu, const Tensor& residual) {
  if (is_training()) {
    const std::int64_t batches = static_cast<std::int64_t>(num_batches_tracked.item()) + 1;
    num_batches_tracked.copy_from(Tensor::from<std::int64_t>({batches}, {}, num_batches_tracked.device()));
  }
  const ops::NormOptions options{is_training(), momentum, eps, relu};
  return hooked(ops::batch_norm(x, weight, bias, running_mean, running_var, options, residual));
}

Embedding::Embedding(std::int64_t classes, std::int64_t width, Rng& rng)
    : weight(add_parameter("weight", Tensor::empty({classes, width}))) {
  init::normal(weight, 1.0, rng);
}

}  // namespace pen
