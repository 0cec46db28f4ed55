// Class activation maps: the feature maps of a layer, weighted by what they do for a class. z is the class's logit, A
// the activations (H,W,K) of the layer, G = dz/dA.
#include <algorithm>

#include "eval/attribution/methods.h"
#include "eval/attribution/planes.h"
#include "eval/attribution/probe.h"

namespace pen::eval {
namespace {

// (N,K): means over the pixels of (N,H,W,K).
std::vector<double> plane_means(const Tensor& t) {
  const std::vector<double> values = t.to(DType::f64).to_vector<double>();
  const auto n = static_cast<std::size_t>(t.size(0)), k = static_cast<std::size_t>(t.size(3));
  const std::size_t pixels = static_cast<std::size_t>(t.size(1) * t.size(2));
  std::vector<double> means(n * k, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t p = 0; p < pixels; ++p)
      for (std::size_t c = 0; c < k; ++c) means[i * k + c] += values[(i * pixels + p) * k + c];
    for (std::size_t c = 0; c < k; ++c) means[i * k + c] /= static_cast<double>(pixels);
  }
  return means;
}

// max(v, 0) that lets NaN through, so that it can be counted.
double positive(double v) { return v < 0 ? 0 : v; }

// sum_k w_k A_k, with weights (N,K).
Tensor weighted_sum(const Tensor& activation, const std::vector<double>& weights, bool relu) {
  const std::int64_t pixels = activation.size(1) * activation.size(2);
  return map_pixels(activation, {}, [&](const double* a, const double*, std::int64_t k, std::int64_t i) {
    const double* w = weights.data() + i / pixels * k;
    double sum = 0;
    for (std::int64_t c = 0; c < k; ++c) sum += w[c] * a[c];
    return relu ? positive(sum) : sum;
  });
}

// relu(sum_k mean_ij(G_k) A_k)
Attribution grad_cam(const Question& question) {
  const LayerPass pass = pass_layer(question, true);
  return {weighted_sum(pass.activation, plane_means(pass.gradient), true), pass.logits};
}

// sum_k G_k A_k, pixel by pixel.
Tensor gradient_times_activation(const LayerPass& pass, bool relu) {
  return map_pixels(pass.activation, pass.gradient,
                    [relu](const double* a, const double* g, std::int64_t k, std::int64_t) {
                      double sum = 0;
                      for (std::int64_t c = 0; c < k; ++c) sum += g[c] * a[c];
                      return relu ? positive(sum) : sum;
                    });
}

// sum_k G_k A_k, signed: the linear approximation of z at the layer, split among the pixels.
Attribution linear_approx(const Question& question) {
  const LayerPass pass = pass_layer(question, true);
  return {gradient_times_activation(pass, false), pass.logits};
}

// relu of the same
Attribution hires_cam(const Question& question) {
  const LayerPass pass = pass_layer(question, true);
  return {gradient_times_activation(pass, true), pass.logits};
}

// relu(sum_k relu(G_k) A_k)
Attribution layer_cam(const Question& question) {
  const LayerPass pass = pass_layer(question, true);
  return {map_pixels(pass.activation, pass.gradient,
                     [](const double* a, const double* g, std::int64_t k, std::int64_t) {
                       double sum = 0;
                       for (std::int64_t c = 0; c < k; ++c) sum += positive(g[c]) * a[c];
                       return positive(sum);
                     }),
          pass.logits};
}

// relu(sum_k w_k A_k) with w_k = sum_ij alpha relu(G_k), alpha = G^2 / (2 G^2 + (sum_ij A_k) G^3), 0 where G is 0.
// The paper explains exp(z), whose first three derivatives are exp(z) times G, G^2 and G^3 where z is piecewise linear;
// exp(z) cancels in alpha and is left out of w, where it only scales the map.
Attribution grad_cam_pp(const Question& question) {
  const LayerPass pass = pass_layer(question, true);
  const std::vector<double> gradient = pass.gradient.to(DType::f64).to_vector<double>();
  const auto n = static_cast<std::size_t>(pass.activation.size(0)),
             k = static_cast<std::size_t>(pass.activation.size(3));
  const auto pixels = static_cast<std::size_t>(pass.activation.size(1) * pass.activation.size(2));
  std::vector<double> sums = plane_means(pass.activation), weights(n * k, 0.0);
  for (double& s : sums) s *= static_cast<double>(pixels);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t p = 0; p < pixels; ++p)
      for (std::size_t c = 0; c < k; ++c) {
        const double g = gradient[(i * pixels + p) * k + c];
        const double below = 2 * g * g + sums[i * k + c] * g * g * g;
        if (!(g <= 0) && below != 0) weights[i * k + c] += g * g / below * g;
      }
  return {weighted_sum(pass.activation, weights, true), pass.logits};
}

}  // namespace

std::vector<Method> cam_methods() {
  const std::string_view one = "1 forward, 1 backward down to the layer";
  return {
      {{.at_layer = true},
       "grad_cam",
       Needs::gradient,
       "relu(sum over channels k of mean(dz/dA_k) A_k)",
       "Selvaraju et al., Grad-CAM, ICCV 2017, arXiv 1610.02391",
       one,
       "layer",
       grad_cam},
      {{.at_layer = true},
       "grad_cam_pp",
       Needs::gradient,
       "relu(sum_k w_k A_k), w_k = sum over pixels of alpha relu(G_k), alpha = G^2 / (2 G^2 + sum(A_k) G^3), G = dz/dA",
       "Chattopadhyay et al., Grad-CAM++, WACV 2018, arXiv 1710.11063",
       one,
       "layer",
       grad_cam_pp},
      {{.at_layer = true},
       "layer_cam",
       Needs::gradient,
       "relu(sum_k relu(dz/dA_k) A_k)",
       "Jiang et al., LayerCAM, IEEE Transactions on Image Processing 30, 2021",
       one,
       "layer",
       layer_cam},
      {{.at_layer = true},
       "hires_cam",
       Needs::gradient,
       "relu(sum_k dz/dA_k A_k)",
       "Draelos, Carin, HiResCAM, arXiv 2011.08891",
       one,
       "layer",
       hires_cam},
      {{.at_layer = true},
       "linear_approx",
       Needs::gradient,
       "sum_k dz/dA_k A_k",
       "TorchRay's linear_approx (Fong, Patrick, Vedaldi, ICCV 2019): input x gradient of Shrikumar et al., at a layer",
       one,
       "layer",
       linear_approx},
  };
}

}  // namespace pen::eval
