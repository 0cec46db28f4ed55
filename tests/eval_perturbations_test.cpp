// Methods without gradients and the controls, against definitions worked out by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <opencv2/core.hpp>

#include "eval/attribution/controls.h"
#include "eval/attribution/copies.h"
#include "eval/attribution/registry.h"
#include "tests/compare.h"
#include "tests/golden_state.h"
#include "tests/toy_classifier.h"

using namespace pen;
using namespace pen::eval;
using Doubles = std::vector<double>;

namespace {

Doubles answer(const std::string& method, pen::Classifier& network, const Tensor& x, const AttributionOptions& options,
               std::int64_t label = 0) {
  const std::vector<std::int64_t> labels(static_cast<std::size_t>(x.size(0)), label);
  const Method& m = attribution_method(method);
  if (m.check) m.check(options, x.size(1));
  return test::values_of(m.run({network, x, labels, {}, options}).maps.to(DType::f64));
}

void check_near(const Doubles& got, const Doubles& want, double tolerance) {
  const test::Difference d = test::compare_max(got, want, tolerance);
  CHECK_MESSAGE(d.ok, d.message);
}

Tensor uniform_images(std::int64_t n, std::int64_t size, double low, double high, std::uint64_t seed) {
  Rng rng(seed);
  Doubles pixels;
  for (std::int64_t i = 0; i < n * size * size * 3; ++i) pixels.push_back(rng.uniform(low, high));
  return Tensor::from(pixels, {n, size, size, 3});
}

// Class 0's logit is the sum of the first channel over one square; class 1's is 0.
struct Square {
  static constexpr std::int64_t S = 12, low = 2, high = 6;  // rows and columns
  std::unique_ptr<test::ToyClassifier> network;
  Square() {
    Doubles head(2 * S * S, 0.0);
    for (std::int64_t y = low; y < high; ++y)
      for (std::int64_t x = low; x < high; ++x) head[static_cast<std::size_t>(y * S + x)] = 0.2;
    network = std::make_unique<test::ToyClassifier>(S, 1, 2, Doubles{1, 0, 0}, head);
  }
  static bool inside(std::int64_t p) {
    const std::int64_t y = p / S, x = p % S;
    return y >= low && y < high && x >= low && x < high;
  }
};

}  // namespace

TEST_CASE("attribution: occlusion is the drop of the probability, averaged over the patches on a pixel") {
  const Square toy;
  const Tensor image = uniform_images(1, Square::S, 0.2, 1, 3);
  const Doubles x = image.to_vector<double>();
  const auto p = [&](auto hidden) {
    double z = 0;
    for (std::int64_t k = 0; k < Square::S * Square::S; ++k)
      if (Square::inside(k) && !hidden(k)) z += 0.2 * x[static_cast<std::size_t>(3 * k)];
    return 1 / (1 + std::exp(-z));
  };
  for (const auto& [window, stride] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 2}, {5, 5}, {12, 1}}) {
    Doubles sum(Square::S * Square::S, 0.0), times(sum.size(), 0.0);
    std::vector<std::int64_t> axis;
    for (std::int64_t at = 0; at < Square::S - window; at += stride) axis.push_back(at);
    axis.push_back(Square::S - window);
    for (const std::int64_t y0 : axis)
      for (const std::int64_t x0 : axis) {
        const auto hidden = [&, w = window](std::int64_t k) {
          const std::int64_t y = k / Square::S, c = k % Square::S;
          return y >= y0 && y < y0 + w && c >= x0 && c < x0 + w;
        };
        const double drop = p([](std::int64_t) { return false; }) - p(hidden);
        for (std::int64_t k = 0; k < Square::S * Square::S; ++k)
          if (hidden(k)) sum[static_cast<std::size_t>(k)] += drop, times[static_cast<std::size_t>(k)] += 1;
      }
    for (std::size_t k = 0; k < sum.size(); ++k) sum[k] /= times[k];
    check_near(answer("occlusion", *toy.network, image, {.internal_batch = 7, .window = window, .stride = stride}), sum,
               1e-9);
  }
  CHECK_THROWS_WITH_AS(answer("occlusion", *toy.network, image, {.window = 3, .stride = 4}),
                       doctest::Contains("leave gaps"), Error);
  CHECK_THROWS_WITH_AS(answer("occlusion", *toy.network, image, {.window = 13}),
                       doctest::Contains("a window of 13 pixels on images of 12"), Error);
}

TEST_CASE("attribution: RISE finds the square that the class reads") {
  const Square toy;
  const Tensor image = uniform_images(1, Square::S, 0.9, 1, 4);
  const AttributionOptions options{.internal_batch = 64, .samples = 2000, .cells = 6, .seed = 1};
  const Doubles map = answer("rise", *toy.network, image, options);
  double in = 0, out = 0;
  for (std::int64_t k = 0; k < Square::S * Square::S; ++k)
    (Square::inside(k) ? in : out) += map[static_cast<std::size_t>(k)] / (Square::inside(k) ? 16 : 128);
  CHECK(in > 1.02 * out);
  CHECK(Square::inside(std::max_element(map.begin(), map.end()) - map.begin()));
  // The masks follow from the seed, not from how many pass together.
  AttributionOptions same = options, other = options;
  same.internal_batch = 7;
  other.seed = 2;
  check_near(answer("rise", *toy.network, image, same), map, 1e-12);
  CHECK(answer("rise", *toy.network, image, other) != map);
  CHECK_THROWS_WITH_AS(answer("rise", *toy.network, image, {.samples = 1, .cells = 13}),
                       doctest::Contains("13 cells on an axis of 12 pixels"), Error);
}

TEST_CASE("attribution: RISE of a classifier that does not look is its probability everywhere") {
  // p = 1/2 for every mask, so the map is 1/2 of the masks' mean over the probability of a cell.
  const test::ToyClassifier blind(8, 1, 2, {0, 0, 0}, {1, 1});
  for (const double keep : {0.5, 0.2}) {
    const Doubles map = answer("rise", const_cast<test::ToyClassifier&>(blind), uniform_images(1, 8, 0, 1, 1),
                               {.internal_batch = 512, .samples = 20000, .keep = keep, .cells = 4});
    for (const double v : map) CHECK(v == doctest::Approx(0.5).epsilon(0.04));
  }
}

TEST_CASE("attribution: Eigen-CAM is the first singular vector's projection") {
  // Against the library's decomposition, for activations after a ReLU.
  constexpr std::int64_t S = 5, K = 4;
  Rng rng(9);
  Doubles weights;
  for (std::int64_t i = 0; i < K * 3; ++i) weights.push_back(rng.uniform(-1, 1));
  test::ToyClassifier network(S, K, 2, weights, Doubles(2 * K, 1.0));
  const Tensor image = uniform_images(1, S, -1, 1, 10);
  const Doubles x = image.to_vector<double>();
  cv::Mat a(S * S, K, CV_64F);
  for (int p = 0; p < S * S; ++p)
    for (int k = 0; k < K; ++k) {
      double v = 0;
      for (int c = 0; c < 3; ++c)
        v += weights[static_cast<std::size_t>(3 * k + c)] * x[static_cast<std::size_t>(3 * p + c)];
      a.at<double>(p, k) = std::max(v, 0.0);
    }
  const cv::SVD svd(a);
  Doubles want;
  for (int p = 0; p < S * S; ++p) want.push_back(std::abs(svd.w.at<double>(0) * svd.u.at<double>(p, 0)));
  check_near(answer("eigen_cam", network, image, {.layer = "relu"}), want, 1e-9);
}

TEST_CASE("attribution: masks are enlarged to the image, and softmax does not overflow") {
  const Tensor logits = Tensor::from<double>({1000, 0, 999, 1}, {2, 2});
  CHECK(scores_of(logits, 0, Score::probability)[0] == doctest::Approx(1));
  CHECK(scores_of(logits, 1, Score::probability)[1] == doctest::Approx(std::exp(-998.0)));
  CHECK(scores_of(logits, 1, Score::logit) == Doubles{0, 1});
  const Tensor image = Tensor::full({1, 3, 3, 3}, 2.0, DType::f64);
  int calls = 0;
  for_masked(
      image, 3, 2, 2,
      [](std::int64_t v, std::span<float> mask) {
        for (std::size_t k = 0; k < 4; ++k) mask[k] = static_cast<float>(v) + (k % 2 ? 1 : 0);
      },
      [&](const Tensor& copies, std::int64_t first) {
        const Doubles all = copies.to_vector<double>();
        for (std::size_t j = 0; j < all.size(); ++j)
          CHECK(all[j] ==
                2 * (static_cast<double>(first) + static_cast<double>(j / 27) + 0.5 * static_cast<double>(j / 3 % 3)));
        calls += static_cast<int>(copies.size(0));
      });
  CHECK(calls == 3);
}

TEST_CASE("attribution: controls") {
  test::ToyClassifier network(8, 1, 2, {1, 1, 1}, {1, -1});
  const Tensor images = uniform_images(2, 8, 0, 1, 6);
  const Doubles noise = answer("random", network, images, {.seed = 4});
  CHECK(noise == answer("random", network, images, {.seed = 4}));
  CHECK(noise != answer("random", network, images, {.seed = 5}));
  CHECK(Doubles(noise.begin(), noise.begin() + 64) != Doubles(noise.begin() + 64, noise.end()));
  CHECK(std::all_of(noise.begin(), noise.end(), [](double v) { return v >= 0 && v < 1; }));

  // A step from 0 to 3 between columns 3 and 4: gx = 4 * 3 on both sides of it, nothing elsewhere.
  Doubles step, want;
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x) {
      for (int c = 0; c < 3; ++c) step.push_back(x < 4 ? 0 : 3);
      want.push_back(x == 3 || x == 4 ? 12 : 0);
    }
  check_near(answer("sobel", network, Tensor::from(step, {1, 8, 8, 3}), {}), want, 1e-12);

  const std::vector<double> center = center_map(224);
  CHECK(std::accumulate(center.begin(), center.end(), 0.0) == 158 * 158);
  CHECK((center[33 * 224 + 33] == 1 && center[32 * 224 + 33] == 0 && center[190 * 224 + 190] == 1 &&
         center[191 * 224 + 190] == 0));

  const std::vector<double> gaussian = gaussian_map(9);
  CHECK(gaussian[4 * 9 + 4] == 1);
  for (const std::size_t corner : {0, 8, 72, 80}) CHECK(gaussian[corner] == 0);
  for (std::size_t y = 0; y < 9; ++y)
    for (std::size_t x = 0; x < 9; ++x) CHECK(gaussian[y * 9 + x] == gaussian[x * 9 + (8 - y)]);
  for (std::size_t x = 0; x < 4; ++x) CHECK(gaussian[4 * 9 + x] < gaussian[4 * 9 + x + 1]);
  // Ranks: the mean is that of 1 .. n whatever the ties, so ((n+1)/2 - low) / (n - low) with low = 2.5 for four
  // corners.
  CHECK(std::accumulate(gaussian.begin(), gaussian.end(), 0.0) / 81 == doctest::Approx((41 - 2.5) / (81 - 2.5)));
}
