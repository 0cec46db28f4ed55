// Faithfulness metrics against models whose answer is known.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "eval/faithfulness/causal.h"
#include "eval/faithfulness/imputation.h"
#include "eval/faithfulness/place.h"
#include "tests/scratch.h"

using namespace pen;
using namespace pen::eval;

namespace {

constexpr std::int64_t side = 8;
constexpr std::size_t pixels = side * side;

// Two classes; the probability of class 0 is p = bias + sum_i w_i x_i over red values: a linear model.
struct Linear {
  std::vector<double> w;
  double bias = 0;
  double operator()(const float* image) const {
    double p = bias;
    for (std::size_t i = 0; i < w.size(); ++i) p += w[i] * image[3 * i];
    return p;
  }
  Classifier classifier() const {
    return [this](std::span<const float> images, std::int64_t n) {
      std::vector<float> logits;
      for (std::int64_t i = 0; i < n; ++i) {
        const double p = (*this)(images.data() + static_cast<std::size_t>(i) * w.size() * 3);
        logits.push_back(static_cast<float>(std::log(p)));
        logits.push_back(static_cast<float>(std::log(1 - p)));
      }
      return logits;
    };
  }
};

std::vector<float> ones() { return std::vector<float>(pixels * 3, 1.0f); }

}  // namespace

TEST_CASE("faithfulness: pixels by falling importance, equal ones in raster order") {
  const std::vector<double> map{0.5, 0.9, 0.5, 1.0};
  CHECK(pixel_order(map) == std::vector<std::int32_t>{3, 1, 0, 2});
  CHECK(pixel_order(std::vector<double>(3, 0.2)) == std::vector<std::int32_t>{0, 1, 2});
}

TEST_CASE("deletion and insertion on a linear model") {
  // The i-th pixel in raster order is worth w_i; the image is 1 everywhere, so that p = 0.1 + sum of what is left.
  Linear model{std::vector<double>(pixels), 0.1};
  for (std::size_t i = 0; i < pixels; ++i) model.w[i] = 0.8 * static_cast<double>(i + 1) / (pixels * (pixels + 1) / 2);
  const std::vector<float> image = ones(), zero(pixels * 3, 0.0f);
  const Classifier classifier = model.classifier();
  const Subject subject{image, side, 0, classifier};
  const std::vector<std::int32_t> best = pixel_order(model.w);
  std::vector<std::int32_t> worst(best.rbegin(), best.rend());

  for (const std::int64_t steps : {1, 4, 5, 64}) {
    CAPTURE(steps);
    const std::vector<double> gone = deletion_curve(subject, best, steps);
    const std::vector<double> come = causal_curve(subject, zero, image, best, steps);
    REQUIRE(gone.size() == static_cast<std::size_t>(steps + 1));
    const std::size_t a_step = (pixels + static_cast<std::size_t>(steps) - 1) / static_cast<std::size_t>(steps);
    double area = 0;
    for (std::size_t s = 0; s <= static_cast<std::size_t>(steps); ++s) {
      const auto deleted = static_cast<double>(std::min(pixels, s * a_step));
      // Pixels 64, 63, .. are deleted: n deleted take 64 + .. + (64 - n + 1) = n (129 - n) / 2 of 2080.
      const double left = 0.1 + 0.8 * (1 - deleted * (129 - deleted) / 2 / 2080);
      CHECK(gone[s] == doctest::Approx(left).epsilon(1e-6));
      CHECK(come[s] == doctest::Approx(1.0 - left).epsilon(1e-6));  // p(x) + p(0) - left
      CHECK(gone[s] + come[s] == doctest::Approx(0.9 + 0.1).epsilon(1e-6));
      area += left * (s == 0 || s == static_cast<std::size_t>(steps) ? 0.5 : 1.0) / static_cast<double>(steps);
    }
    CHECK(area_under(gone) == doctest::Approx(area).epsilon(1e-6));
    CHECK(area_under(gone) + area_under(come) == doctest::Approx(1.0).epsilon(1e-6));
    // Deleting the least important first leaves more, and mirrors the curve.
    if (steps > 1) CHECK(area_under(deletion_curve(subject, worst, steps)) > area_under(gone));
    if (pixels % static_cast<std::size_t>(steps) == 0)
      CHECK(area_under(deletion_curve(subject, worst, steps)) + area_under(gone) == doctest::Approx(1.0).epsilon(1e-6));
  }
}

TEST_CASE("deletion of a constant map: every pixel counts the same, whatever the order") {
  const Linear model{std::vector<double>(pixels, 0.6 / pixels), 0.2};
  const std::vector<float> image = ones();
  const Classifier classifier = model.classifier();
  const Subject subject{image, side, 0, classifier};
  const std::vector<std::int32_t> order = pixel_order(std::vector<double>(pixels, 0.3));
  const std::vector<double> curve = deletion_curve(subject, order, 16);
  for (std::size_t s = 0; s <= 16; ++s) CHECK(curve[s] == doctest::Approx(0.8 - 0.6 * static_cast<double>(s) / 16));
  CHECK(area_under(curve) == doctest::Approx(0.5).epsilon(1e-6));
  // Of class 1 the curve is the complement.
  const Subject other{image, side, 1, classifier};
  CHECK(area_under(deletion_curve(other, order, 16)) == doctest::Approx(0.5).epsilon(1e-6));
  CHECK(deletion_curve(other, order, 16)[0] == doctest::Approx(0.2).epsilon(1e-6));
}

TEST_CASE("insertion starts at RISE's blur") {
  // scipy.ndimage.gaussian_filter1d of a single one in the middle of 11, sigma 5: symmetric, sums to 1, and flatter
  // than a cut Gaussian because its tails come back from the edges.
  const std::vector<double> kernel = blur_kernel(11, 5);
  CHECK(std::accumulate(kernel.begin(), kernel.end(), 0.0) == doctest::Approx(1.0).epsilon(1e-12));
  for (std::size_t i = 0; i < 11; ++i) CHECK(kernel[i] == doctest::Approx(kernel[10 - i]).epsilon(1e-12));
  double weights[41], sum = 0;
  for (int x = -20; x <= 20; ++x) sum += weights[x + 20] = std::exp(-x * x / 50.0);
  // Position 0 sees the one (at 5) at distance 5, its mirror at -6 at distance 6, those at 16 and -17.
  CHECK(kernel[0] == doctest::Approx((weights[25] + weights[26] + weights[36] + weights[37]) / sum).epsilon(1e-12));
  CHECK(kernel[5] == doctest::Approx((weights[20] + 2 * weights[31]) / sum).epsilon(1e-12));

  // At 224: one white pixel becomes the kernel's product; near the border nothing comes from outside.
  std::vector<float> image(224 * 224 * 3, 0.0f);
  image[(100 * 224 + 50) * 3 + 1] = 1;
  const std::vector<float> soft = blurred(image, 224);
  CHECK(soft[(100 * 224 + 50) * 3 + 1] == doctest::Approx(kernel[5] * kernel[5]));
  CHECK(soft[(97 * 224 + 55) * 3 + 1] == doctest::Approx(kernel[2] * kernel[10]));
  CHECK(soft[(100 * 224 + 56) * 3 + 1] == 0.0f);
  CHECK(soft[(100 * 224 + 50) * 3 + 0] == 0.0f);
  const std::vector<float> white(224 * 224 * 3, 1.0f), edge = blurred(white, 224);
  CHECK(edge[(100 * 224 + 100) * 3] == doctest::Approx(1.0));
  const double half = std::accumulate(kernel.begin() + 5, kernel.end(), 0.0);
  CHECK(edge[0] == doctest::Approx(half * half));
  CHECK(blurred(std::vector<float>(27, 1.0f), 3).size() == 27);
}

TEST_CASE("noisy linear imputation: a plane inside is restored, pixels that stay are untouched") {
  constexpr std::int64_t n = 16;
  std::vector<float> image;
  for (std::int64_t y = 0; y < n; ++y)
    for (std::int64_t x = 0; x < n; ++x)
      for (int c = 0; c < 3; ++c)
        image.push_back(static_cast<float>(0.1 * static_cast<double>(x) - 0.2 * static_cast<double>(y) + c));
  const std::vector<float> original = image;
  std::vector<std::uint8_t> removed(n * n, 0);
  for (std::int64_t y = 3; y < 11; ++y)
    for (std::int64_t x = 5; x < 13; ++x) removed[static_cast<std::size_t>(y * n + x)] = 1;
  for (std::size_t i = 0; i < removed.size(); ++i)
    if (removed[i]) image[3 * i] = image[3 * i + 1] = image[3 * i + 2] = 99;
  Rng rng(1);
  noisy_linear_imputation(image, n, removed, rng, 0);
  double worst = 0;
  for (std::size_t i = 0; i < image.size(); ++i) worst = std::max<double>(worst, std::abs(image[i] - original[i]));
  CHECK(worst < 1e-3);
  for (std::size_t i = 0; i < removed.size(); ++i)
    if (!removed[i]) CHECK(image[3 * i] == original[3 * i]);

  // One pixel at the edge: its neighbours inside, weighted 2:1, scaled to sum 1.
  image = original;
  std::fill(removed.begin(), removed.end(), std::uint8_t{0});
  removed[5] = 1;
  noisy_linear_imputation(image, n, removed, rng, 0);
  const auto at = [&](std::size_t y, std::size_t x) { return static_cast<double>(original[(y * n + x) * 3]); };
  CHECK(image[15] ==
        doctest::Approx((2 * at(0, 4) + 2 * at(0, 6) + 2 * at(1, 5) + at(1, 4) + at(1, 6)) / 8).epsilon(1e-4));

  // Noise has the deviation that was asked for; with nothing left to learn from there is only noise.
  std::fill(removed.begin(), removed.end(), std::uint8_t{1});
  noisy_linear_imputation(image, n, removed, rng, 0.5);
  double square = 0;
  for (const float v : image) square += static_cast<double>(v) * v;
  CHECK(std::sqrt(square / static_cast<double>(image.size())) == doctest::Approx(0.5).epsilon(0.1));
}

TEST_CASE("ROAD: removing what the model reads costs more than removing what it does not") {
  // Only the left half counts, and it is brighter than what would be imputed from the right.
  Linear model{std::vector<double>(pixels, 0.0), 0.1};
  std::vector<float> image(pixels * 3, 0.0f);
  for (std::size_t i = 0; i < pixels; ++i)
    if (i % side < side / 2) model.w[i] = 0.8 / (pixels / 2), image[3 * i] = 1;
  const Classifier classifier = model.classifier();
  const Subject subject{image, side, 0, classifier};
  const std::vector<std::int32_t> good = pixel_order(model.w);
  const std::vector<std::int32_t> bad(good.rbegin(), good.rend());
  const Road right = road(subject, good, 1, 7), wrong = road(subject, bad, 1, 7);
  CHECK(right.score() > 0.05);
  CHECK(right.morf < right.lerf);
  CHECK(wrong.score() < 0);
  CHECK(right.score() == road(subject, good, 1, 7).score());  // seeded
  CHECK(right.morf_curve.size() == 9);
  CHECK(right.lerf == doctest::Approx(std::accumulate(right.lerf_curve.begin(), right.lerf_curve.end(), 0.0) / 9));
}

TEST_CASE("average drop, increase and gain") {
  const Linear model{std::vector<double>(pixels, 0.8 / pixels), 0.1};
  const std::vector<float> image = ones();
  const Classifier classifier = model.classifier();
  const Subject in{image, side, 0, classifier}, out{image, side, 1, classifier};
  // p goes from 0.9 to 0.1 + 0.8/4 = 0.3; of the other class from 0.1 to 0.7.
  const std::vector<double> quarter(pixels, 0.25);
  const Change lost = masked_change(in, quarter), won = masked_change(out, quarter);
  CHECK(lost.drop == doctest::Approx(100 * 0.6 / 0.9).epsilon(1e-5));
  CHECK(lost.increase == 0);
  CHECK(lost.gain == 0);
  CHECK(won.drop == 0);
  CHECK(won.increase == 100);
  CHECK(won.gain == doctest::Approx(100 * 0.6 / 0.9).epsilon(1e-5));
  const Change same = masked_change(in, std::vector<double>(pixels, 1.0));
  CHECK(same.drop == 0);
  CHECK(same.increase == 0);
}

TEST_CASE("pointing games and sparseness") {
  constexpr std::int64_t n = 64;
  CHECK(pointing_tolerance(224) == 15.0);
  std::vector<std::uint8_t> object(n * n, 0);
  for (std::int64_t y = 20; y < 30; ++y)
    for (std::int64_t x = 20; x < 30; ++x) object[static_cast<std::size_t>(y * n + x)] = 1;
  const auto at = [&](std::int64_t y, std::int64_t x) {
    std::vector<double> map(n * n, 0.1);
    map[static_cast<std::size_t>(y * n + x)] = 0.9;
    return map;
  };
  CHECK(pointing_game(at(25, 25), object, n, 15) == 1);
  CHECK(pointing_game(at(25, 44), object, n, 15) == 1);  // 15 pixels from column 29
  CHECK(pointing_game(at(25, 45), object, n, 15) == 0);
  CHECK(pointing_game(at(38, 41), object, n, 15) == 1);  // (9, 12): 15 from the corner
  CHECK(pointing_game(at(39, 41), object, n, 15) == 0);  // (10, 12)
  CHECK(pointing_game(at(25, 30), object, n, 0) == 0);
  std::vector<double> two = at(25, 25);
  two[0] = 0.9;
  CHECK(pointing_game(two, object, n, 15) == 0.5);
  CHECK(pointing_game(two, std::vector<std::uint8_t>(n * n, 0), n, 15) == 0);

  CHECK(energy_pointing_game(std::vector<double>(n * n, 0.2), object) == doctest::Approx(100.0 / (n * n)));
  CHECK(energy_pointing_game(std::vector<double>(n * n, 0.0), object) == 0);
  std::vector<double> inside(object.begin(), object.end());
  CHECK(energy_pointing_game(inside, object) == 1);

  CHECK(sparseness(std::vector<double>(10, 0.3)) == doctest::Approx(0).epsilon(1e-12));
  CHECK(sparseness(std::vector<double>(10, 0.0)) == 0);
  CHECK(sparseness(std::vector<double>{0, 0, 0, 1}) == doctest::Approx(0.75));
  CHECK(sparseness(std::vector<double>{3, 1}) == doctest::Approx(0.25));  // (-1*1 + 1*3) / (2*4)
}
