#include "data/transforms.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/file.h"

namespace pen {
namespace {

// Python's round(): to the nearest, halves to even.
int round_even(double v) { return static_cast<int>(std::nearbyint(v)); }

}  // namespace

void check(const Transform& t) {
  PEN_CHECK_AS(usage, t.size > 0 && t.size <= 16384 && t.resize > 0 && t.resize <= 16384, "an input of ", t.size,
               " pixels, resized to ", t.resize, ", is not in 1..16384");
}

Transform Transform::train(int size) {
  Transform t;
  t.kind = Kind::random_crop;
  t.size = t.resize = size;
  t.flip = true;
  return t;
}

Transform Transform::val(int size) {
  Transform t;
  t.size = size;
  t.resize = static_cast<int>(std::lround(256.0 * size / 224.0));
  return t;
}

Transform Transform::score(int size, bool break_ratio) {
  Transform t;
  t.kind = break_ratio ? Kind::both_sides : Kind::shorter_side;
  t.size = t.resize = size;
  return t;
}

Transform Transform::wsol(int size) { return score(size, true); }

ImageSize resized_shorter_side(ImageSize image, int s) {
  const bool tall = image.width <= image.height;
  const int shorter = tall ? image.width : image.height, longer = tall ? image.height : image.width;
  const double scaled = static_cast<double>(std::int64_t{s} * longer) / shorter;
  PEN_CHECK_AS(data, scaled < std::numeric_limits<int>::max(), "an image of ", image.width, "x", image.height,
               " is too long to be resized to a shorter side of ", s);
  const int other = static_cast<int>(scaled);
  return tall ? ImageSize{other, s} : ImageSize{s, other};
}

int center_offset(int n, int s) { return n < s ? -((s - n) / 2) : round_even((n - s) / 2.0); }

Rect random_resized_crop(ImageSize image, Rng& rng, double min_area) {
  const double height = image.height, width = image.width, area = height * width;
  const double low = std::log(3.0 / 4.0), high = std::log(4.0 / 3.0);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target = area * rng.uniform(min_area, 1.0);
    const double ratio = std::exp(rng.uniform(low, high));
    const int w = round_even(std::sqrt(target * ratio)), h = round_even(std::sqrt(target / ratio));
    if (0 < w && w <= image.width && 0 < h && h <= image.height) {
      const auto top = static_cast<int>(rng.below(static_cast<std::uint64_t>(image.height - h + 1)));
      const auto left = static_cast<int>(rng.below(static_cast<std::uint64_t>(image.width - w + 1)));
      return {top, left, h, w};
    }
  }
  int w = image.width, h = image.height;
  if (width / height < 3.0 / 4.0)
    h = round_even(w / (3.0 / 4.0));
  else if (width / height > 4.0 / 3.0)
    w = round_even(h * (4.0 / 3.0));
  return {(image.height - h) / 2, (image.width - w) / 2, h, w};
}

Placement place(const Transform& t, ImageSize image, Rng& rng) {
  check(t);
  Placement p;
  p.crop = {0, 0, image.height, image.width};
  if (t.kind == Transform::Kind::random_crop) {
    p.crop = random_resized_crop(image, rng, t.min_area);
    p.resized = {t.size, t.size};
  } else {
    p.resized =
        t.kind == Transform::Kind::both_sides ? ImageSize{t.resize, t.resize} : resized_shorter_side(image, t.resize);
    p.top = center_offset(p.resized.height, t.size);
    p.left = center_offset(p.resized.width, t.size);
  }
  p.flip = t.flip && rng.bernoulli(0.5);
  return p;
}

}  // namespace pen
