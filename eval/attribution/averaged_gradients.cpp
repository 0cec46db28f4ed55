// Gradients averaged over many altered copies of the image.
#include "eval/attribution/averaged_gradients.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/rng.h"
#include "eval/attribution/copies.h"
#include "eval/attribution/methods.h"
#include "eval/attribution/planes.h"
#include "eval/attribution/probe.h"
#include "tensor/autograd.h"
#include "tensor/ops.h"

namespace pen::eval {
namespace {

constexpr std::int64_t own_samples = 50, own_steps = 50;
constexpr double own_noise = 0.15;

// Adds the images of a batch to a sum.
void add_rows(std::vector<double>& sum, const Tensor& rows) {
  const std::vector<double> values = rows.to(DType::f64).to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i) sum[i % sum.size()] += values[i];
}

// What is done for each image, and the logits of all.
struct Start {
  Tensor logits;
  std::vector<std::int64_t> targets;
};
Start start(const Question& question) {
  const NoGrad no_grad;
  const Tensor logits = question.runner().logits(question.x);
  return {logits, question.targets(logits)};
}

// max over channels of |mean over samples of dz/dx at x + noise|, noise ~ N(0, (share (max x - min x))^2)
Attribution smooth_grad(const Question& question) {
  const Start at = start(question);
  const AttributionOptions& o = question.options;
  const std::int64_t n = question.x.size(0), samples = o.samples ? o.samples : own_samples;
  std::vector<double> maps;
  for (std::int64_t i = 0; i < n; ++i) {
    const Tensor image = ops::slice_batch(question.x, i, 1);
    const std::vector<double> x = image.to(DType::f64).to_vector<double>();
    const auto [low, high] = std::minmax_element(x.begin(), x.end());
    const double sigma = (o.noise > 0 ? o.noise : own_noise) * (*high - *low);
    Rng rng(o.seed, stream_of(image));
    std::vector<double> sum(x.size(), 0.0);
    for (std::int64_t first = 0; first < samples; first += o.internal_batch) {
      const std::int64_t b = std::min(o.internal_batch, samples - first);
      std::vector<double> noisy;
      for (std::int64_t j = 0; j < b; ++j)
        for (const double v : x) noisy.push_back(v + sigma * rng.normal());
      Shape shape = image.shape();
      shape[0] = b;
      const Tensor copies = Tensor::from(noisy, shape).to(image.dtype()).to(image.device());
      add_rows(sum, input_gradient_at(question.runner(), copies,
                                      std::vector<std::int64_t>(static_cast<std::size_t>(b),
                                                                at.targets[static_cast<std::size_t>(i)])));
    }
    for (std::size_t p = 0; p < sum.size(); p += 3) {
      const double most = std::max({std::abs(sum[p]), std::abs(sum[p + 1]), std::abs(sum[p + 2])});
      maps.push_back(std::isfinite(sum[p] + sum[p + 1] + sum[p + 2]) ? most / static_cast<double>(samples) : NAN);
    }
  }
  return {Tensor::from(maps, {n, question.x.size(1), question.x.size(2)}), at.logits};
}

// |sum over channels of the integrated gradients|
Attribution integrated(const Question& question) {
  const IntegratedGradients at = integrated_gradients(question);
  return {map_pixels(at.attribution, {},
                     [](const double* v, const double*, std::int64_t c, std::int64_t) {
                       double sum = 0;
                       for (std::int64_t k = 0; k < c; ++k) sum += v[k];
                       return std::abs(sum);
                     }),
          at.logits};
}

}  // namespace

IntegratedGradients integrated_gradients(const Question& question) {
  const Start at = start(question);
  const std::int64_t n = question.x.size(0), steps = question.options.steps ? question.options.steps : own_steps;
  std::vector<double> all;
  for (std::int64_t i = 0; i < n; ++i) {
    const Tensor image = ops::slice_batch(question.x, i, 1);
    const std::vector<double> x = image.to(DType::f64).to_vector<double>();
    std::vector<double> sum(x.size(), 0.0);
    const WriteMask position = [&](std::int64_t v, std::span<float> mask) {
      mask[0] = static_cast<float>((static_cast<double>(v) + 0.5) / static_cast<double>(steps));
    };
    for_masked(image, steps, 1, question.options.internal_batch, position, [&](const Tensor& copies, std::int64_t) {
      const std::vector<std::int64_t> classes(static_cast<std::size_t>(copies.size(0)),
                                              at.targets[static_cast<std::size_t>(i)]);
      add_rows(sum, input_gradient_at(question.runner(), copies, classes));
    });
    for (std::size_t p = 0; p < x.size(); ++p) all.push_back(x[p] * sum[p] / static_cast<double>(steps));
  }
  return {Tensor::from(all, question.x.shape()), at.logits, at.targets};
}

std::vector<Method> averaged_gradient_methods() {
  return {
      {{.many = true},
       "smooth_grad",
       Needs::gradient,
       "max over channels of |mean of dz/dx at x + N(0, s^2)|, s = noise (max x - min x)",
       "Smilkov et al., SmoothGrad, arXiv 1706.03825",
       "samples forward and backward",
       "samples 50, noise 0.15",
       smooth_grad},
      {{.many = true},
       "integrated_gradients",
       Needs::gradient,
       "|sum over channels of x mean of dz/dx at a x|, a = (j + 0.5) / steps, from the mean colour (0) to the image",
       "Sundararajan, Taly, Yan, Axiomatic attribution for deep networks, ICML 2017, arXiv 1703.01365",
       "steps forward and backward",
       "steps 50",
       integrated},
  };
}

}  // namespace pen::eval
