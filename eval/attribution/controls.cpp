#include "eval/attribution/controls.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "base/check.h"
#include "base/rng.h"
#include "eval/attribution/copies.h"
#include "eval/attribution/methods.h"
#include "eval/attribution/planes.h"
#include "tensor/ops.h"

namespace pen::eval {
namespace {

Attribution same_for_all(const Question& question, const std::vector<double>& map) {
  std::vector<double> maps;
  for (std::int64_t i = 0; i < question.x.size(0); ++i) maps.insert(maps.end(), map.begin(), map.end());
  return {Tensor::from(maps, {question.x.size(0), question.x.size(1), question.x.size(2)}), {}};
}

Attribution center(const Question& question) { return same_for_all(question, center_map(question.x.size(1))); }
Attribution gaussian(const Question& question) { return same_for_all(question, gaussian_map(question.x.size(1))); }

// Uniform in [0, 1), each pixel by itself.
Attribution random_values(const Question& question) {
  const std::int64_t n = question.x.size(0), size = question.x.size(1);
  std::vector<float> maps;
  for (std::int64_t i = 0; i < n; ++i) {
    Rng rng(question.options.seed, stream_of(ops::slice_batch(question.x, i, 1)));
    for (std::int64_t p = 0; p < size * size; ++p) maps.push_back(static_cast<float>(rng.uniform()));
  }
  return {Tensor::from(maps, {n, size, size}), {}};
}

// sqrt(gx^2 + gy^2) of the mean of the channels, with Sobel's 3x3 filters and the border's pixels repeated outside.
Attribution sobel(const Question& question) {
  const std::int64_t n = question.x.size(0), size = question.x.size(1);
  const std::vector<double> grey = map_pixels(question.x, {},
                                              [](const double* v, const double*, std::int64_t c, std::int64_t) {
                                                double sum = 0;
                                                for (std::int64_t k = 0; k < c; ++k) sum += v[k];
                                                return sum / static_cast<double>(c);
                                              })
                                       .to(DType::f64)
                                       .to_vector<double>();
  std::vector<double> maps;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto at = [&](std::int64_t y, std::int64_t x) {
      y = std::clamp<std::int64_t>(y, 0, size - 1);
      x = std::clamp<std::int64_t>(x, 0, size - 1);
      return grey[static_cast<std::size_t>((i * size + y) * size + x)];
    };
    for (std::int64_t y = 0; y < size; ++y)
      for (std::int64_t x = 0; x < size; ++x) {
        const double gx = at(y - 1, x + 1) + 2 * at(y, x + 1) + at(y + 1, x + 1) - at(y - 1, x - 1) - 2 * at(y, x - 1) -
                          at(y + 1, x - 1);
        const double gy = at(y + 1, x - 1) + 2 * at(y + 1, x) + at(y + 1, x + 1) - at(y - 1, x - 1) - 2 * at(y - 1, x) -
                          at(y - 1, x + 1);
        maps.push_back(std::sqrt(gx * gx + gy * gy));
      }
  }
  return {Tensor::from(maps, {n, size, size}), {}};
}

}  // namespace

std::vector<double> center_map(std::int64_t size) {
  const auto border = static_cast<std::int64_t>(std::nearbyint(33.0 * static_cast<double>(size) / 224.0));
  std::vector<double> map(static_cast<std::size_t>(size * size), 0.0);
  for (std::int64_t y = border; y < size - border; ++y)
    for (std::int64_t x = border; x < size - border; ++x) map[static_cast<std::size_t>(y * size + x)] = 1;
  return map;
}

std::vector<double> gaussian_map(std::int64_t size) {
  // The value falls with the distance, and equal squared distances are equal integers.
  const std::int64_t middle = size / 2;
  const auto squared = [&](std::int64_t i) {
    const std::int64_t y = i / size - middle, x = i % size - middle;
    return x * x + y * y;
  };
  std::map<std::int64_t, std::int64_t, std::greater<>> counts;  // the farthest first
  for (std::int64_t i = 0; i < size * size; ++i) ++counts[squared(i)];
  std::map<std::int64_t, double> rank;
  double below = 0;
  for (const auto& [distance, count] : counts) {
    rank[distance] = below + static_cast<double>(count + 1) / 2;
    below += static_cast<double>(count);
  }
  const double least = rank.rbegin()->second, most = rank.begin()->second;
  std::vector<double> map(static_cast<std::size_t>(size * size));
  for (std::size_t i = 0; i < map.size(); ++i)
    map[i] = most > least ? (rank[squared(static_cast<std::int64_t>(i))] - least) / (most - least) : 1;
  return map;
}

std::vector<Method> control_methods() {
  return {
      {{.by_class = false},
       "random",
       Needs::image,
       "uniform noise, each pixel by itself",
       "control",
       "none",
       "",
       random_values},
      {{.by_class = false},
       "sobel",
       Needs::image,
       "sqrt(gx^2 + gy^2) of the mean of the channels, by Sobel's filters",
       "control: an edge detector, as in Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018, arXiv "
       "1810.03292",
       "none",
       "",
       sobel},
      {{.by_class = false},
       "center",
       Needs::image,
       "1 in the middle square of side S - 2 round(33 S/224), 0 elsewhere",
       "control",
       "none",
       "",
       center},
      {{.by_class = false},
       "gaussian",
       Needs::image,
       "ranks of an isotropic Gaussian about the middle, in [0, 1]",
       "control: the baseline of Choe et al., Evaluating weakly supervised object localization methods right, CVPR "
       "2020, arXiv 2001.08437",
       "none",
       "",
       gaussian},
  };
}

}  // namespace pen::eval
