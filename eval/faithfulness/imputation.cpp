#include "eval/faithfulness/imputation.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"

namespace pen::eval {
namespace {

// One channel with a frame of zeros around it.
class Plane {
 public:
  explicit Plane(std::int64_t size) : size_(size), v_(static_cast<std::size_t>((size + 2) * (size + 2)), 0.0) {}
  double& at(std::int64_t y, std::int64_t x) { return v_[index(y, x)]; }
  double at(std::int64_t y, std::int64_t x) const { return v_[index(y, x)]; }
  // Sum of the neighbours' values with their weights.
  double around(std::int64_t y, std::int64_t x) const {
    const double* p = v_.data() + index(y, x);
    const std::int64_t w = size_ + 2;
    return (p[-w] + p[-1] + p[1] + p[w]) / 6 + (p[-w - 1] + p[-w + 1] + p[w - 1] + p[w + 1]) / 12;
  }
  std::int64_t size() const { return size_; }
  template <class Body>
  void each(const Body& body) const {
    for (std::int64_t y = 0; y < size_; ++y)
      for (std::int64_t x = 0; x < size_; ++x) body(y, x);
  }

 private:
  std::size_t index(std::int64_t y, std::int64_t x) const {
    return static_cast<std::size_t>((y + 1) * (size_ + 2) + x + 1);
  }
  std::int64_t size_;
  std::vector<double> v_;
};

// A first guess for what is not known: means of known pixels over 2x2 squares, coarser and coarser, down to where
// everything is known.
void fill_from_coarser(Plane& values, const Plane& known) {
  const std::int64_t size = values.size(), half = (size + 1) / 2;
  if (size == 1) return;
  Plane coarse(half), weight(half);
  values.each([&](std::int64_t y, std::int64_t x) {
    coarse.at(y / 2, x / 2) += known.at(y, x) * values.at(y, x);
    weight.at(y / 2, x / 2) += known.at(y, x);
  });
  bool gaps = false;
  coarse.each([&](std::int64_t y, std::int64_t x) {
    const double w = weight.at(y, x);
    if (w > 0) coarse.at(y, x) /= w;
    gaps |= w == 0;
    weight.at(y, x) = w > 0 ? 1 : 0;
  });
  if (gaps) fill_from_coarser(coarse, weight);
  values.each([&](std::int64_t y, std::int64_t x) {
    if (known.at(y, x) == 0) values.at(y, x) = coarse.at(y / 2, x / 2);
  });
}

// Solves  degree x - around(x) = 0  at unknown pixels, with the known ones fixed; `values` holds these and the guess.
void solve(Plane& values, const Plane& known, const Plane& degree) {
  const std::int64_t size = values.size();
  Plane residual(size), direction(size), applied(size);
  double norm = 0, scale = 0;
  values.each([&](std::int64_t y, std::int64_t x) {
    if (known.at(y, x) != 0) return;
    const double r = values.around(y, x) - degree.at(y, x) * values.at(y, x);
    residual.at(y, x) = direction.at(y, x) = r;
    norm += r * r;
    const double d = degree.at(y, x) * values.at(y, x);
    scale += d * d;
  });
  const double enough = 1e-10 * std::max(scale, 1e-12);
  for (int i = 0; i < 20 * static_cast<int>(size) && norm > enough; ++i) {
    double curvature = 0;
    values.each([&](std::int64_t y, std::int64_t x) {
      if (known.at(y, x) != 0) return;
      const double a = degree.at(y, x) * direction.at(y, x) - direction.around(y, x);
      applied.at(y, x) = a;
      curvature += a * direction.at(y, x);
    });
    const double step = norm / curvature;
    double next = 0;
    values.each([&](std::int64_t y, std::int64_t x) {
      if (known.at(y, x) != 0) return;
      values.at(y, x) += step * direction.at(y, x);
      const double r = residual.at(y, x) -= step * applied.at(y, x);
      next += r * r;
    });
    values.each([&](std::int64_t y, std::int64_t x) {
      if (known.at(y, x) == 0) direction.at(y, x) = residual.at(y, x) + next / norm * direction.at(y, x);
    });
    norm = next;
  }
}

}  // namespace

void noisy_linear_imputation(std::span<float> image, std::int64_t size, std::span<const std::uint8_t> removed, Rng& rng,
                             double noise) {
  PEN_CHECK(size >= 1 && removed.size() == static_cast<std::size_t>(size * size) && image.size() == removed.size() * 3,
            "imputation: ", image.size(), " values and ", removed.size(), " marks for an image of side ", size);
  Plane known(size), inside(size), degree(size);
  bool any = false;
  known.each([&](std::int64_t y, std::int64_t x) {
    inside.at(y, x) = 1;
    known.at(y, x) = removed[static_cast<std::size_t>(y * size + x)] ? 0 : 1;
    any |= known.at(y, x) != 0;
  });
  degree.each([&](std::int64_t y, std::int64_t x) { degree.at(y, x) = inside.around(y, x); });
  for (std::int64_t c = 0; c < 3; ++c) {
    const auto value = [&](std::int64_t y, std::int64_t x) -> float& {
      return image[static_cast<std::size_t>((y * size + x) * 3 + c)];
    };
    Plane plane(size);
    plane.each([&](std::int64_t y, std::int64_t x) { plane.at(y, x) = known.at(y, x) * value(y, x); });
    if (any) {
      fill_from_coarser(plane, known);
      solve(plane, known, degree);
    }
    plane.each([&](std::int64_t y, std::int64_t x) {
      if (known.at(y, x) == 0) value(y, x) = static_cast<float>(plane.at(y, x) + noise * rng.normal());
    });
  }
}

}  // namespace pen::eval
