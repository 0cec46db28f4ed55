#include "models/infill_simple.h"

#include <cmath>

#include "base/parallel.h"

namespace pen {

Tensor ZeroInfiller::run(const InfillerInput& input, Rng*) {
  return Tensor::zeros(input.image.shape(), input.image.dtype(), input.image.device());
}

Tensor BlurInfiller::run(const InfillerInput& input, Rng*) {
  const auto radius = static_cast<std::int64_t>(std::ceil(4 * sigma_));
  std::vector<double> taps;
  double sum = 0;
  for (std::int64_t i = -radius; i <= radius; ++i) {
    const double d = static_cast<double>(i) / sigma_;
    taps.push_back(std::exp(-0.5 * d * d));
    sum += taps.back();
  }
  for (double& t : taps) t /= sum;
  const Tensor& x = input.image;
  return ops::filter_separable(x, Tensor::from(taps, {2 * radius + 1}).to(x.dtype()).to(x.device()));
}

Tensor MeanColorInfiller::run(const InfillerInput& input, Rng*) {
  const Tensor known = input.known();
  const std::int64_t n = input.image.size(0), h = input.image.size(1), w = input.image.size(2);
  const Tensor sums = ops::global_avg_pool(input.masked_image());  // (N,3)
  const Tensor weight = ops::mean_per_image(known);                // (N)
  const Tensor some = ops::step(weight, 0);
  const Tensor safe = ops::add(weight, ops::affine(some, -1, 1));  // 1 where nothing is left
  const Tensor share = ops::mul(ops::reciprocal(safe), some);
  const Tensor colors = ops::mask_in(ops::reshape(sums, {n, 1, 1, 3}), ops::reshape(share, {n, 1, 1, 1}));
  return ops::broadcast_planes(ops::reshape(colors, {n, 3}), h, w);
}

Tensor NoiseInfiller::run(const InfillerInput& input, Rng* draws) {
  const Shape& shape = input.image.shape();
  const std::int64_t count = input.image.numel();
  Rng own(seed_, 0x6e6f697365);  // "noise"
  Rng& rng = draws ? *draws : own;
  const std::uint64_t seed = rng.seed(), stream = rng.stream();
  const std::uint64_t first = rng.reserve(static_cast<std::uint64_t>(count));
  std::vector<double> values(static_cast<std::size_t>(count));
  parallel_for(count, 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      values[static_cast<std::size_t>(i)] = philox_uniform(seed, stream, first + static_cast<std::uint64_t>(i));
  });
  const Tensor noise = Tensor::from(values, shape).to(input.image.dtype()).to(input.image.device());
  return from_unit_range(noise);
}

}  // namespace pen
