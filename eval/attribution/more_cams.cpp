// Class activation maps without gradients: CAM, Score-CAM, Eigen-CAM.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "eval/attribution/copies.h"
#include "eval/attribution/methods.h"
#include "eval/attribution/planes.h"
#include "eval/attribution/probe.h"
#include "tensor/autograd.h"
#include "tensor/ops.h"

namespace pen::eval {
namespace {

// The last linear layer: weight (classes,K), bias (classes).
struct Head {
  std::string name;
  std::vector<double> weight, bias;
};
Head head_of(const pen::Classifier& network, std::int64_t width) {
  Head head;
  std::vector<NamedTensor> parameters = network.parameters();
  for (const NamedTensor& p : parameters) {
    if (!p.name.ends_with(".weight") || p.tensor.shape() != Shape{network.classes(), width}) continue;
    head.name = p.name.substr(0, p.name.size() - 7);
    head.weight = p.tensor.to(DType::f64).to_vector<double>();
  }
  head.bias.assign(static_cast<std::size_t>(network.classes()), 0.0);
  for (const NamedTensor& p : parameters)
    if (p.name == head.name + ".bias") head.bias = p.tensor.to(DType::f64).to_vector<double>();
  return head;
}

// sum_k w_k A_k, w the class's weights in the linear layer that follows global average pooling. Only networks of that
// build have such a map, which is not believed but checked: mean(A) w + b has to give the logits.
Attribution cam(const Question& question) {
  AttributionOptions options = question.options;
  options.layer.clear();  // the last one: no other is averaged
  const LayerPass pass = pass_layer({question.network, question.x, question.labels, question.target, options}, false);
  const std::int64_t width = pass.activation.size(3), pixels = pass.activation.size(1) * pass.activation.size(2);
  const Head head = head_of(question.network, width);
  const std::vector<double> a = pass.activation.to(DType::f64).to_vector<double>();
  const std::vector<double> z = pass.logits.to(DType::f64).to_vector<double>();
  const std::int64_t classes = question.network.classes();
  bool fits = !head.name.empty();
  for (std::size_t i = 0; fits && i < pass.targets.size(); ++i) {
    double sum = 0, size = 0;
    const auto row = static_cast<std::size_t>(pass.targets[i] * width);
    for (std::int64_t p = 0; p < pixels; ++p)
      for (std::int64_t k = 0; k < width; ++k) {
        const double part =
            head.weight[row + static_cast<std::size_t>(k)] *
            a[(i * static_cast<std::size_t>(pixels) + static_cast<std::size_t>(p)) * static_cast<std::size_t>(width) +
              static_cast<std::size_t>(k)] /
            static_cast<double>(pixels);
        sum += part;
        size += std::abs(part);
      }
    const double bias = head.bias[static_cast<std::size_t>(pass.targets[i])];
    const double logit = z[i * static_cast<std::size_t>(classes) + static_cast<std::size_t>(pass.targets[i])];
    // NaN passes here: it ends as a map that is counted.
    fits = !(std::abs(sum + bias - logit) > 1e-3 * (size + std::abs(bias) + 1e-6));
  }
  if (!fits) {
    fail(ErrorKind::usage,
         str("cam: the logits are no linear function of the means of the last feature maps (", width, " channels)"),
         "it explains networks that end in global average pooling and one linear layer; grad_cam does the same for any "
         "network");
  }
  return {map_pixels(pass.activation, {},
                     [&](const double* v, const double*, std::int64_t k, std::int64_t i) {
                       const double* w =
                           head.weight.data() + pass.targets[static_cast<std::size_t>(i / pixels)] * width;
                       double sum = 0;
                       for (std::int64_t c = 0; c < k; ++c) sum += w[c] * v[c];
                       return sum;
                     }),
          pass.logits};
}

// relu(sum_k w_k A_k), w = softmax over k of z(x H_k), H_k = A_k enlarged to the image after stretching it to [0, 1]
// (zeros where A_k is constant). The paper's z(x H_k) - z(0) differs by a constant, which the softmax takes out.
Attribution score_cam(const Question& question) {
  const LayerPass pass = pass_layer(question, false);
  const std::int64_t n = pass.activation.size(0), h = pass.activation.size(1), w = pass.activation.size(2),
                     k = pass.activation.size(3), pixels = h * w;
  PEN_CHECK(h == w, "score_cam: feature maps of ", h, " x ", w, " pixels, expected squares");
  const std::vector<double> a = pass.activation.to(DType::f64).to_vector<double>();
  std::vector<double> maps(static_cast<std::size_t>(n * pixels), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    const double* plane = a.data() + i * pixels * k;
    const auto stretched = [&](std::int64_t c, std::span<float> mask) {
      double low = plane[c], high = plane[c];
      for (std::int64_t p = 0; p < pixels; ++p) {
        low = std::min(low, plane[p * k + c]);
        high = std::max(high, plane[p * k + c]);
      }
      for (std::int64_t p = 0; p < pixels; ++p)
        mask[static_cast<std::size_t>(p)] =
            high > low ? static_cast<float>((plane[p * k + c] - low) / (high - low)) : 0.0f;
    };
    const Tensor image = ops::slice_batch(question.x, i, 1);
    std::vector<double> weight =
        masked_scores(question, image, pass.targets[static_cast<std::size_t>(i)], Score::logit, k, h, stretched);
    const double most = *std::max_element(weight.begin(), weight.end());
    double sum = 0;
    for (double& v : weight) sum += v = std::exp(v - most);
    for (std::int64_t p = 0; p < pixels; ++p) {
      double value = 0;
      for (std::int64_t c = 0; c < k; ++c) value += weight[static_cast<std::size_t>(c)] / sum * plane[p * k + c];
      maps[static_cast<std::size_t>(i * pixels + p)] = value < 0 ? 0 : value;
    }
  }
  return {Tensor::from(maps, {n, h, w}), pass.logits};
}

// |A v|, v the first right singular vector of A as a matrix (pixels, channels), not centred; by power iteration on
// A A^T. For activations after a ReLU all of A v has one sign (Perron, Frobenius); for others the sign is taken that
// makes the sum positive, and what is negative is cut.
Attribution eigen_cam(const Question& question) {
  constexpr int most_rounds = 1000;
  constexpr double settled = 1e-12;
  const LayerPass pass = pass_layer(question, false);
  const std::int64_t n = pass.activation.size(0), k = pass.activation.size(3);
  const auto pixels = static_cast<std::size_t>(pass.activation.size(1) * pass.activation.size(2));
  const auto channels = static_cast<std::size_t>(k);
  const std::vector<double> all = pass.activation.to(DType::f64).to_vector<double>();
  std::vector<double> maps;
  for (std::int64_t i = 0; i < n; ++i) {
    const double* a = all.data() + static_cast<std::size_t>(i) * pixels * channels;
    std::vector<double> u(pixels), next(pixels), v(channels);
    // Starts at the norms of the rows: zero only where A is, and positive as the answer.
    for (std::size_t p = 0; p < pixels; ++p)
      for (std::size_t c = 0; c < channels; ++c) u[p] += a[p * channels + c] * a[p * channels + c];
    double length = 0;  // of A v, once v is a unit vector: the singular value
    for (int round = 0; round < most_rounds; ++round) {
      std::fill(v.begin(), v.end(), 0.0);
      for (std::size_t p = 0; p < pixels; ++p)
        for (std::size_t c = 0; c < channels; ++c) v[c] += u[p] * a[p * channels + c];
      double norm = 0;
      for (const double x : v) norm += x * x;
      norm = std::sqrt(norm);
      if (!(norm > 0)) break;
      length = 0;
      for (std::size_t p = 0; p < pixels; ++p) {
        double sum = 0;
        for (std::size_t c = 0; c < channels; ++c) sum += a[p * channels + c] * v[c];
        next[p] = sum / norm;
        length += next[p] * next[p];
      }
      length = std::sqrt(length);
      double change = 0;
      for (std::size_t p = 0; p < pixels; ++p) {
        const double unit = length > 0 ? next[p] / length : 0;
        change = std::max(change, std::abs(unit - u[p]));
        u[p] = unit;
      }
      if (change < settled) break;
    }
    double sum = 0;
    for (const double x : u) sum += x;
    for (const double x : u) {
      const double value = (sum < 0 ? -x : x) * length;
      maps.push_back(value < 0 ? 0 : value);
    }
  }
  return {Tensor::from(maps, {n, pass.activation.size(1), pass.activation.size(2)}), pass.logits};
}

}  // namespace

std::vector<Method> more_cam_methods() {
  return {
      {{},
       "cam",
       Needs::activations,
       "sum_k w_k A_k of the last feature maps, w the class's weights in the linear layer on their means",
       "Zhou et al., Learning deep features for discriminative localization, CVPR 2016, arXiv 1512.04150",
       "1 forward",
       "",
       cam},
      {{.at_layer = true, .many = true},
       "score_cam",
       Needs::activations,
       "relu(sum_k w_k A_k), w = softmax over k of z(x H_k), H_k = A_k stretched to [0, 1] and enlarged",
       "Wang et al., Score-CAM, CVPR workshop 2020, arXiv 1910.01279",
       "1 forward and one for each channel",
       "layer",
       score_cam},
      {{.at_layer = true, .by_class = false},
       "eigen_cam",
       Needs::activations,
       "A v, v the first right singular vector of A as (pixels, channels)",
       "Muhammad, Yeasin, Eigen-CAM, IJCNN 2020, arXiv 2008.00299",
       "1 forward",
       "layer",
       eigen_cam},
  };
}

}  // namespace pen::eval
