// Masks to boxes, and boxes against boxes, each against its plain definition; true masks in the frame of their images.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "data/image.h"
#include "eval/localization.h"
#include "eval/masks.h"
#include "eval/true_masks.h"
#include "tests/tiny_networks.h"

using namespace pen;
using namespace pen::eval;

namespace {

using Bits = std::vector<std::uint8_t>;

Bits random_bits(Rng& rng, std::int64_t count, double density) {
  Bits bits(static_cast<std::size_t>(count));
  for (auto& b : bits) b = rng.bernoulli(density);
  return bits;
}

// Largest component by flood fill from each pixel in raster order.
Component flood(const Bits& binary, std::int64_t h, std::int64_t w) {
  Bits left = binary;
  Component best;
  for (std::int64_t start = 0; start < h * w; ++start) {
    if (!left[static_cast<std::size_t>(start)]) continue;
    Component c{0, {w, h, 0, 0}};
    std::vector<std::int64_t> stack{start};
    left[static_cast<std::size_t>(start)] = 0;
    while (!stack.empty()) {
      const std::int64_t at = stack.back(), y = at / w, x = at % w;
      stack.pop_back();
      ++c.pixels;
      c.box = {std::min(c.box.xmin, x), std::min(c.box.ymin, y), std::max(c.box.xmax, x + 1),
               std::max(c.box.ymax, y + 1)};
      const std::int64_t steps[4][2] = {{0, 1}, {0, -1}, {1, 0}, {-1, 0}};
      for (const auto& s : steps) {
        const std::int64_t ny = y + s[0], nx = x + s[1];
        if (ny < 0 || nx < 0 || ny >= h || nx >= w || !left[static_cast<std::size_t>(ny * w + nx)]) continue;
        left[static_cast<std::size_t>(ny * w + nx)] = 0;
        stack.push_back(ny * w + nx);
      }
    }
    if (c.pixels > best.pixels) best = c;
  }
  return best;
}

// One step of erosion (all of the cross set, outside set) or dilation (any of it set, outside not).
Bits step(const Bits& in, std::int64_t h, std::int64_t w, bool erosion) {
  Bits out(in.size());
  for (std::int64_t y = 0; y < h; ++y) {
    for (std::int64_t x = 0; x < w; ++x) {
      bool all = true, any = false;
      const std::int64_t cross[5][2] = {{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}};
      for (const auto& s : cross) {
        const std::int64_t ny = y + s[0], nx = x + s[1];
        const bool inside = ny >= 0 && nx >= 0 && ny < h && nx < w;
        const bool set = inside ? in[static_cast<std::size_t>(ny * w + nx)] != 0 : erosion;
        all = all && set;
        any = any || set;
      }
      out[static_cast<std::size_t>(y * w + x)] = erosion ? all : any;
    }
  }
  return out;
}

double area_of(const Box& b) { return static_cast<double>((b.xmax - b.xmin) * (b.ymax - b.ymin)); }

}  // namespace

TEST_CASE("largest component equals a flood fill") {
  Rng rng(1);
  int ties = 0;
  for (int round = 0; round < 600; ++round) {
    const auto h = static_cast<std::int64_t>(1 + rng.below(23)), w = static_cast<std::int64_t>(1 + rng.below(23));
    const Bits bits = random_bits(rng, h * w, rng.uniform(0.05, 0.75));
    const Component want = flood(bits, h, w), got = largest_component(bits, h, w);
    CAPTURE(h);
    CAPTURE(w);
    REQUIRE(got.pixels == want.pixels);
    if (want.pixels) REQUIRE(got.box == want.box);
    ties += want.pixels == 1;
  }
  CHECK(ties > 10);  // sparse ones, where every component is as large as the first
}

TEST_CASE("of two equal components the first in raster order counts, also when it starts further right") {
  // Row 0: the right one; the left one begins in row 1.
  const Bits bits = {0, 0, 0, 1, 1,  //
                     1, 1, 0, 0, 0,  //
                     0, 0, 0, 0, 0};
  CHECK(largest_component(bits, 3, 5).box == Box{3, 0, 5, 1});
}

TEST_CASE("diagonal neighbours are not connected") {
  const Bits bits = {1, 0, 0, 0, 1, 1, 0, 1, 0};
  const Component c = largest_component(bits, 3, 3);
  CHECK(c.pixels == 3);
  CHECK(c.box == Box{1, 1, 3, 3});
}

TEST_CASE("boxes equal brute force on random masks, in both protocols") {
  Rng rng(2);
  for (int round = 0; round < 200; ++round) {
    const auto size = static_cast<std::int64_t>(1 + rng.below(40));
    std::vector<float> mask(static_cast<std::size_t>(size * size));
    for (float& m : mask) m = static_cast<float>(std::pow(rng.uniform(), 3));
    double sum = 0;
    for (const float m : mask) sum += m;
    Bits want_bits;
    for (const float m : mask) want_bits.push_back(m > static_cast<float>(sum / static_cast<double>(mask.size())));
    REQUIRE(binarise(mask) == want_bits);
    const Component want = flood(want_bits, size, size);
    Bits bits = want_bits;
    const Box paper = predicted_box(bits, size), strict = predicted_box(bits, size, {Protocol::strict, 0, 0});
    if (want.pixels == 0) {
      CHECK(paper == Box{});
      CHECK(strict == Box{0, 0, size, size});
    } else {
      CHECK(strict == want.box);
      CHECK(paper == Box{want.box.xmin, want.box.ymin, want.box.xmax - 1, want.box.ymax - 1});
    }
  }
}

TEST_CASE("a mask without variation has no box, whatever its value and size") {
  for (const float value : {0.0f, 1.0f, 0.3f, 0.1f, 16384.0f / 65535.0f}) {
    for (const std::int64_t size : {1, 3, 112, 224, 301}) {
      const std::vector<float> mask(static_cast<std::size_t>(size * size), value);
      CHECK(mask_mean(mask) == value);
      Bits bits = binarise(mask);
      CHECK(std::count(bits.begin(), bits.end(), 1) == 0);
      CHECK(predicted_box(bits, size) == Box{});
      CHECK(predicted_box(bits, size, {Protocol::strict, 0, 0}) == Box{0, 0, size, size});
    }
  }
}

TEST_CASE("erosion and dilation equal their definition") {
  Rng rng(3);
  for (int round = 0; round < 200; ++round) {
    const auto h = static_cast<std::int64_t>(1 + rng.below(15)), w = static_cast<std::int64_t>(1 + rng.below(15));
    const bool erosion = round % 2 == 0;
    const Bits bits = random_bits(rng, h * w, erosion ? 0.85 : 0.1);
    const int iterations = static_cast<int>(rng.below(4));
    Bits want = bits, got = bits;
    for (int i = 0; i < iterations; ++i) want = step(want, h, w, erosion);
    erosion ? erode(got, h, w, iterations) : dilate(got, h, w, iterations);
    REQUIRE(got == want);
  }
}

TEST_CASE("erosion that leaves nothing gives the empty box, strict the whole frame") {
  Bits bits(25, 0);
  bits[12] = 1;
  Bits other = bits;
  CHECK(predicted_box(bits, 5, {Protocol::paper, 1, 0}) == Box{});
  CHECK(predicted_box(other, 5, {Protocol::strict, 1, 0}) == Box{0, 0, 5, 5});
  Bits third(25, 0);
  CHECK_THROWS_AS(predicted_box(third, 5, {Protocol::paper, -1, 0}), Error);
  CHECK_THROWS_AS(largest_component(third, 4, 5), Error);
}

TEST_CASE("F1 and IoU equal sums over rasters") {
  Rng rng(4);
  for (int round = 0; round < 300; ++round) {
    const auto size = static_cast<std::int64_t>(1 + rng.below(30));
    const auto coordinate = [&](std::int64_t low, std::int64_t high) {
      return low + static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(high - low + 1)));
    };
    const auto random_box = [&](std::int64_t beyond) {
      const std::int64_t x = coordinate(-beyond, size), y = coordinate(-beyond, size);
      return Box{x, y, coordinate(x, size + beyond), coordinate(y, size + beyond)};
    };
    const Box truth = random_box(5), predicted = random_box(0);
    std::vector<float> mask(static_cast<std::size_t>(size * size));
    for (float& m : mask) m = static_cast<float>(rng.uniform());
    double inside = 0, total = 0, common = 0, united_in_frame = 0, clipped_pixels = 0;
    for (std::int64_t y = 0; y < size; ++y) {
      for (std::int64_t x = 0; x < size; ++x) {
        const auto in = [&](const Box& b) { return x >= b.xmin && x < b.xmax && y >= b.ymin && y < b.ymax; };
        const double m = mask[static_cast<std::size_t>(y * size + x)];
        total += m;
        inside += in(truth) ? m : 0;
        common += in(truth) && in(predicted);
        united_in_frame += in(truth) || in(predicted);
        clipped_pixels += in(truth);
      }
    }
    const Box boxes[] = {truth};
    for (const Protocol protocol : {Protocol::paper, Protocol::strict}) {
      const double pixels = protocol == Protocol::paper ? area_of(truth) : clipped_pixels;
      const Localization got = localize(mask, predicted, boxes, size, protocol);
      if (pixels == 0) {
        CHECK(got.f1[0] == 0);
        CHECK(got.iou[0] == 0);
        continue;
      }
      const double p = inside / (total + 1e-6), r = inside / pixels;
      CHECK(got.f1[0] == doctest::Approx(2 * p * r / (p + r + 1e-6)).epsilon(1e-12));
      CHECK(got.iou[0] == doctest::Approx(common / (united_in_frame + pixels - clipped_pixels)).epsilon(1e-12));
    }
  }
}

TEST_CASE("maximum, mean and hit over several boxes") {
  Localization found;
  found.f1 = {0.2, 0.7, 0.3};
  found.iou = {0.5, 0.1, 0.2};
  CHECK(found.best_f1() == 0.7);
  CHECK(found.mean_f1() == doctest::Approx(0.4));
  CHECK_FALSE(found.hit());  // exactly half is no hit
  found.iou[2] = std::nextafter(0.5, 1.0);
  CHECK(found.hit());
}

TEST_CASE("a box that leaves the frame lowers the scores in the paper protocol only") {
  const Box truth[] = {{-10, 0, 10, 10}};
  const std::vector<float> mask = box_mask(truth[0], 20);
  const Localization paper = localize_truth(truth, 20, Protocol::paper),
                     strict = localize_truth(truth, 20, Protocol::strict);
  CHECK(paper.iou[0] == 0.5);
  CHECK(strict.iou[0] == 1.0);
  CHECK(strict.f1[0] == doctest::Approx(1.0).epsilon(1e-5));
  CHECK(paper.f1[0] == doctest::Approx(2.0 / 3.0).epsilon(1e-5));
  CHECK(localize(mask, {0, 0, 10, 10}, truth, 20, Protocol::paper).f1[0] ==
        doctest::Approx(paper.f1[0]).epsilon(1e-12));
}

TEST_CASE("true masks are placed as their images are") {
  const test::TinyData data;
  const TrueMasks masks(data.folder / "masks", Transform::score(20, false));
  // 48x40 -> 24x20, cut 2 on the left: output pixel (y, x) holds the centre of source pixel (2 y + 1, 2 (x + 2) + 1).
  const std::string image = data.folder / "val/left/v0.png";
  const Image source = read_image(data.folder / "masks/left/v0.png");
  std::vector<std::uint8_t> placed(20 * 20);
  masks.load(image, placed);
  std::int64_t wrong = 0;
  for (std::size_t y = 0; y < 20; ++y)
    for (std::size_t x = 0; x < 20; ++x)
      wrong += placed[y * 20 + x] != (source.rgb[((2 * y + 1) * 48 + 2 * (x + 2) + 1) * 3] >= 128);
  CHECK(wrong == 0);
  // At the scene's own size nothing moves.
  const std::vector<std::uint8_t> square(16 * 16, 200), half = [] {
    std::vector<std::uint8_t> out(16 * 16);
    std::fill(out.begin(), out.begin() + 100, 255);
    return out;
  }();
  std::filesystem::create_directories(data.folder / "s");
  std::filesystem::create_directories(data.folder / "i/x");
  write_png(data.folder / "s/a.png", 16, 16, 1, half);
  write_png(data.folder / "i/x/a.b.png", 16, 16, 1, square);
  const TrueMasks flat(data.folder / "s", Transform::score(16, false));
  std::vector<std::uint8_t> same(16 * 16);
  flat.load(data.folder / "i/x/a.b.png", same);
  CHECK(std::count(same.begin(), same.end(), 1) == 100);
  CHECK(same[99] == 1);
  CHECK(same[100] == 0);
  write_png(data.folder / "s/a.png", 16, 16, 1, std::vector<std::uint8_t>(16 * 16));
  test::check_error(ErrorKind::data, {"no pixel of the object"}, [&] { flat.load(data.folder / "i/x/a.b.png", same); });
  write_png(data.folder / "s/a.png", 8, 32, 1, half);
  test::check_error(ErrorKind::data, {"32x8", "16x16"}, [&] { flat.load(data.folder / "i/x/a.b.png", same); });
}
