#include "eval/faithfulness/causal.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/parallel.h"
#include "eval/faithfulness/imputation.h"
#include "eval/saliency_metric.h"

namespace pen::eval {
namespace {

std::size_t pixels_of(const Subject& s) { return static_cast<std::size_t>(s.size * s.size); }

void copy_pixel(std::span<const float> from, std::span<float> to, std::int32_t pixel) {
  std::copy_n(from.begin() + std::ptrdiff_t{pixel} * 3, 3, to.begin() + std::ptrdiff_t{pixel} * 3);
}

void check(const Subject& s, std::span<const std::int32_t> order) {
  PEN_CHECK(s.image.size() == pixels_of(s) * 3 && order.size() == pixels_of(s), "faithfulness: ", s.image.size(),
            " values and an order of ", order.size(), " pixels for an image of side ", s.size);
}

}  // namespace

std::vector<std::int32_t> pixel_order(std::span<const double> map) {
  std::vector<std::int32_t> order(map.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return map[static_cast<std::size_t>(a)] > map[static_cast<std::size_t>(b)];
  });
  return order;
}

std::vector<double> probabilities(std::span<const float> logits, std::int64_t n, std::int64_t target) {
  PEN_CHECK(n >= 1 && logits.size() % static_cast<std::size_t>(n) == 0, "probabilities: ", logits.size(), " logits of ",
            n, " images");
  const std::size_t classes = logits.size() / static_cast<std::size_t>(n);
  std::vector<double> out;
  for (std::size_t first = 0; first < logits.size(); first += classes)
    out.push_back(std::exp(log_softmax(logits.subspan(first, classes), target)));
  return out;
}

std::vector<double> causal_curve(const Subject& subject, std::span<const float> start, std::span<const float> finish,
                                 std::span<const std::int32_t> order, std::int64_t steps) {
  check(subject, order);
  PEN_CHECK(start.size() == subject.image.size() && finish.size() == start.size() && steps >= 1,
            "faithfulness: a curve of ", steps, " steps between ", start.size(), " and ", finish.size(), " values");
  const std::size_t pixels = order.size(),
                    a_step = (pixels + static_cast<std::size_t>(steps) - 1) / static_cast<std::size_t>(steps);
  std::vector<float> images(start.begin(), start.end());
  images.reserve(start.size() * static_cast<std::size_t>(steps + 1));
  for (std::size_t step = 0; step < static_cast<std::size_t>(steps); ++step) {
    images.resize(images.size() + start.size());
    const std::span<float> now = std::span(images).last(start.size());
    std::copy_n(now.begin() - static_cast<std::ptrdiff_t>(start.size()), start.size(), now.begin());
    for (std::size_t k = std::min(step * a_step, pixels); k < std::min((step + 1) * a_step, pixels); ++k)
      copy_pixel(finish, now, order[k]);
  }
  return probabilities(subject.classifier(images, steps + 1), steps + 1, subject.target);
}

double area_under(std::span<const double> curve) {
  PEN_CHECK(curve.size() >= 2, "area under a curve of ", curve.size(), " points");
  const double sum = std::accumulate(curve.begin(), curve.end(), 0.0);
  return (sum - curve.front() / 2 - curve.back() / 2) / static_cast<double>(curve.size() - 1);
}

std::vector<double> deletion_curve(const Subject& subject, std::span<const std::int32_t> order, std::int64_t steps) {
  return causal_curve(subject, subject.image, std::vector<float>(subject.image.size(), 0.0f), order, steps);
}

std::vector<double> insertion_curve(const Subject& subject, std::span<const std::int32_t> order, std::int64_t steps) {
  return causal_curve(subject, blurred(subject.image, subject.size), subject.image, order, steps);
}

std::vector<double> blur_kernel(int length, double sigma) {
  PEN_CHECK(length >= 1 && length % 2 == 1 && sigma > 0, "blur of length ", length, ", sigma ", sigma);
  const int radius = static_cast<int>(4 * sigma + 0.5), middle = length / 2;  // scipy cuts at four sigma
  std::vector<double> weights;
  for (int x = -radius; x <= radius; ++x) weights.push_back(std::exp(-0.5 * x * x / (sigma * sigma)));
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<double> kernel(static_cast<std::size_t>(length), 0.0);
  for (int i = 0; i < length; ++i) {
    for (int x = -radius; x <= radius; ++x) {
      // The edge's element is repeated: d c b a | a b c d | d c b a.
      int at = (i + x) % (2 * length);
      if (at < 0) at += 2 * length;
      if (at >= length) at = 2 * length - 1 - at;
      if (at == middle) kernel[static_cast<std::size_t>(i)] += weights[static_cast<std::size_t>(x + radius)] / sum;
    }
  }
  return kernel;
}

std::vector<float> blurred(std::span<const float> image, std::int64_t size) {
  const double scale = static_cast<double>(size) / 224;
  const int length = std::max(3, 2 * static_cast<int>(std::nearbyint((11 * scale - 1) / 2)) + 1), half = length / 2;
  const std::vector<double> kernel = blur_kernel(length, 5 * scale);
  std::vector<double> rows(image.size(), 0.0);
  std::vector<float> out(image.size());
  const auto pass = [&](const auto& from, auto& to, bool along_x) {
    parallel_for(size, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t y = begin; y < end; ++y) {
        for (std::int64_t x = 0; x < size; ++x) {
          double sum[3] = {0, 0, 0};
          for (int k = -half; k <= half; ++k) {
            const std::int64_t sy = along_x ? y : y + k, sx = along_x ? x + k : x;
            if (sy < 0 || sx < 0 || sy >= size || sx >= size) continue;
            for (std::int64_t c = 0; c < 3; ++c)
              sum[c] +=
                  kernel[static_cast<std::size_t>(k + half)] * from[static_cast<std::size_t>((sy * size + sx) * 3 + c)];
          }
          for (std::int64_t c = 0; c < 3; ++c)
            to[static_cast<std::size_t>((y * size + x) * 3 + c)] =
                static_cast<typename std::decay_t<decltype(to)>::value_type>(sum[c]);
        }
      }
    });
  };
  pass(image, rows, true);
  pass(rows, out, false);
  return out;
}

Road road(const Subject& subject, std::span<const std::int32_t> order, std::uint64_t seed, std::uint64_t stream) {
  check(subject, order);
  constexpr std::int64_t shares = std::size(Road::shares);
  const std::size_t values = subject.image.size(), pixels = order.size();
  std::vector<float> images(values * 2 * shares);
  parallel_for(2 * shares, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const bool most = i < shares;
      const auto count =
          static_cast<std::size_t>(std::nearbyint(Road::shares[i % shares] * static_cast<double>(pixels)));
      std::vector<std::uint8_t> removed(pixels, 0);
      for (std::size_t k = 0; k < count; ++k) removed[static_cast<std::size_t>(order[most ? k : pixels - 1 - k])] = 1;
      const std::span<float> image = std::span(images).subspan(static_cast<std::size_t>(i) * values, values);
      std::copy(subject.image.begin(), subject.image.end(), image.begin());
      Rng rng(seed, stream * 2 * shares + static_cast<std::uint64_t>(i));
      noisy_linear_imputation(image, subject.size, removed, rng);
    }
  });
  const std::vector<double> all = probabilities(subject.classifier(images, 2 * shares), 2 * shares, subject.target);
  Road out;
  out.morf_curve.assign(all.begin(), all.begin() + shares);
  out.lerf_curve.assign(all.begin() + shares, all.end());
  out.morf = std::accumulate(out.morf_curve.begin(), out.morf_curve.end(), 0.0) / static_cast<double>(shares);
  out.lerf = std::accumulate(out.lerf_curve.begin(), out.lerf_curve.end(), 0.0) / static_cast<double>(shares);
  return out;
}

Change masked_change(const Subject& subject, std::span<const double> map) {
  PEN_CHECK(map.size() * 3 == subject.image.size(), "average drop: a map of ", map.size(), " values for an image of ",
            subject.image.size());
  std::vector<float> images(subject.image.begin(), subject.image.end());
  images.resize(2 * subject.image.size());
  for (std::size_t i = 0; i < subject.image.size(); ++i)
    images[subject.image.size() + i] = static_cast<float>(subject.image[i] * map[i / 3]);
  const std::vector<double> p = probabilities(subject.classifier(images, 2), 2, subject.target);
  Change out;
  if (p[0] > 0) out.drop = 100 * std::max(0.0, p[0] - p[1]) / p[0];
  if (p[0] < 1) out.gain = 100 * std::max(0.0, p[1] - p[0]) / (1 - p[0]);
  out.increase = p[1] > p[0] ? 100 : 0;
  return out;
}

}  // namespace pen::eval
