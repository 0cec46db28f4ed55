// Resizing against the formula written out, and the transforms around it. (Pillow's own pixels: golden_images_test.)
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "data/transforms.h"
#include "tests/golden.h"
#include "tests/scratch.h"

using namespace pen;

namespace {

Image random_image(int height, int width, std::uint64_t seed) {
  Image image{height, width, {}};
  Rng rng(seed);
  for (int i = 0; i < height * width * 3; ++i) {
    const std::uint64_t kind = rng.below(4);  // extremes too: they are where rounding and clipping show
    image.rgb.push_back(static_cast<std::uint8_t>(kind == 0 ? 0 : kind == 1 ? 255 : rng.below(256)));
  }
  return image;
}

// One pass along an axis, pixel by pixel: Pillow's resampling as its documentation of the method says it.
std::vector<std::uint8_t> pass(const std::vector<std::uint8_t>& in, int lines, int in_size, int out_size,
                               std::ptrdiff_t in_line, std::ptrdiff_t in_step, std::ptrdiff_t out_line,
                               std::ptrdiff_t out_step) {
  std::vector<std::uint8_t> out(static_cast<std::size_t>(lines) * out_size * 3);
  const double scale = double(in_size) / out_size, support = std::max(scale, 1.0);
  for (int i = 0; i < out_size; ++i) {
    const double center = (i + 0.5) * scale;
    const int begin = std::max(0, int(center - support + 0.5)), end = std::min(in_size, int(center + support + 0.5));
    std::vector<double> w;
    double total = 0;
    for (int t = begin; t < end; ++t) {
      w.push_back(std::max(0.0, 1 - std::abs((t - begin + begin - center + 0.5) * (1.0 / support))));
      total += w.back();
    }
    for (int line = 0; line < lines; ++line) {
      for (int c = 0; c < 3; ++c) {
        std::int64_t sum = 1 << 21;
        for (int t = begin; t < end; ++t)
          sum += std::int64_t{in[line * in_line + t * in_step + c]} *
                 std::int64_t(w[static_cast<std::size_t>(t - begin)] / total * 4194304 + 0.5);
        out[line * out_line + i * out_step + c] =
            static_cast<std::uint8_t>(std::clamp<std::int64_t>(sum >> 22, 0, 255));
      }
    }
  }
  return out;
}

Image plain_resize(const Image& image, int height, int width) {
  std::vector<std::uint8_t> v = image.rgb;
  if (width != image.width) v = pass(v, image.height, image.width, width, 3 * image.width, 3, 3 * width, 3);
  if (height != image.height) v = pass(v, width, image.height, height, 3, 3 * width, 3, 3 * width);
  return {height, width, v};
}

}  // namespace

TEST_CASE("resize: equals the formula for any sizes") {
  Rng rng(2);
  for (int i = 0; i < 300; ++i) {
    const auto size = [&] { return 1 + static_cast<int>(rng.below(i % 10 == 0 ? 400 : 45)); };
    const Image image = random_image(size(), size(), static_cast<std::uint64_t>(i));
    const int height = i % 7 == 0 ? image.height : size(), width = i % 5 == 0 ? image.width : size();
    CAPTURE(image.height);
    CAPTURE(image.width);
    CAPTURE(height);
    CAPTURE(width);
    CHECK(resize(image, height, width).rgb == plain_resize(image, height, width).rgb);
  }
}

TEST_CASE("Resizer: a window equals that part of the whole, from the source it asks for and nothing else") {
  Rng rng(3);
  Resizer resizer;
  for (int i = 0; i < 200; ++i) {
    const auto below = [&](int n) { return static_cast<int>(rng.below(static_cast<std::uint64_t>(n))); };
    const Image image = random_image(1 + below(70), 1 + below(70), static_cast<std::uint64_t>(i));
    const ImageSize in{image.height, image.width};
    ImageSize out{1 + below(70), 1 + below(70)};
    if (i % 4 == 0) out.height = in.height;
    if (i % 6 == 0) out.width = in.width;
    Rect window{0, 0, 1 + below(out.height), 1 + below(out.width)};
    window.top = below(out.height - window.height + 1);
    window.left = below(out.width - window.width + 1);
    // only the source is copied, into a buffer of its exact size, so that reads outside are seen by a sanitizer
    const Rect source = resizer.source(in, out, window);
    Image part{source.height, source.width, {}};
    const ImageView view = ImageView(image).part(source);
    for (int y = 0; y < source.height; ++y)
      part.rgb.insert(part.rgb.end(), view.data + y * view.stride, view.data + y * view.stride + 3 * source.width);
    part.rgb.shrink_to_fit();
    std::vector<std::uint8_t> got(static_cast<std::size_t>(window.height * window.width * 3));
    resizer.resize(part, in, out, window, got.data());
    const Image whole = plain_resize(image, out.height, out.width);
    Image want{window.height, window.width, {}};
    const ImageView cut = ImageView(whole).part(window);
    for (int y = 0; y < window.height; ++y)
      want.rgb.insert(want.rgb.end(), cut.data + y * cut.stride, cut.data + y * cut.stride + 3 * window.width);
    CHECK(got == want.rgb);
  }
  test::check_error(ErrorKind::run, {"source pixels"}, [&] {
    const Image image = random_image(4, 4, 1);
    std::vector<std::uint8_t> out(12);
    resizer.resize(image, {8, 8}, {2, 2}, {0, 0, 2, 2}, out.data());
  });
}

TEST_CASE("Resize(s): the shorter side becomes s, the longer is truncated") {
  const auto check = [](ImageSize in, int s, int height, int width) {
    const ImageSize out = resized_shorter_side(in, s);
    CHECK(out.height == height);
    CHECK(out.width == width);
  };
  check({375, 500}, 224, 224, 298);  // 298.67
  check({500, 375}, 256, 341, 256);  // 341.33
  check({224, 300}, 224, 224, 300);  // unchanged
  check({100, 100}, 224, 224, 224);
  check({1, 1000000}, 224, 224, 224000000);
  test::check_error(ErrorKind::data, {"too long"}, [] { resized_shorter_side({1, 1 << 20}, 16384); });
}

TEST_CASE("CenterCrop: halves to even, zeros around smaller images") {
  CHECK(center_offset(229, 224) == 2);  // 2.5
  CHECK(center_offset(231, 224) == 4);  // 3.5
  CHECK(center_offset(224, 224) == 0);
  CHECK(center_offset(256, 224) == 16);
  CHECK(center_offset(100, 224) == -62);
  CHECK(center_offset(101, 224) == -61);  // torchvision pads (224 - 101) / 2 = 61 before and 62 behind

  Transform t;
  t.size = 8;
  t.resize = 5;
  const std::string ppm = "P6 10 5 255\n" + std::string(150, '\x64');
  ImagePipeline pipeline;
  Rng rng(1);
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(ppm.data()), ppm.size());
  const Image got = pipeline.load_pixels(bytes, "a.ppm", t, rng);
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x)
      CHECK(int(got.rgb[static_cast<std::size_t>(y * 8 + x) * 3]) == (y >= 1 && y < 6 ? 100 : 0));
  CHECK(rng.position() == 0);  // nothing was drawn
}

TEST_CASE("transforms: the four uses, at any input size") {
  CHECK(Transform::val(224).resize == 256);
  CHECK(Transform::val(112).resize == 128);
  CHECK(Transform::val(64).resize == 73);
  CHECK(Transform::train(112).flip);
  CHECK(Transform::train(112).kind == Transform::Kind::random_crop);
  CHECK(Transform::score(112, false).kind == Transform::Kind::shorter_side);
  CHECK(Transform::score(112, true).kind == Transform::Kind::both_sides);
  CHECK(Transform::wsol(112).kind == Transform::Kind::both_sides);
  CHECK_FALSE(Transform::val(112).flip);
  Rng rng(1);
  Transform bad = Transform::score(0, false);
  test::check_error(ErrorKind::usage, {"0 pixels"}, [&] { place(bad, {4, 4}, rng); });
}

TEST_CASE("random_resized_crop: inside the image, areas and aspects as asked, all places reached, the fallback") {
  Rng rng(4);
  double least = 1, most = 0, area = 0;
  std::set<int> tops, lefts;
  const int n = 20000;
  for (int i = 0; i < n; ++i) {
    const Rect r = random_resized_crop({300, 400}, rng);
    REQUIRE((r.top >= 0 && r.left >= 0 && r.height > 0 && r.width > 0));
    REQUIRE((r.top + r.height <= 300 && r.left + r.width <= 400));
    const double share = r.height * r.width / 120000.0, aspect = double(r.width) / r.height;
    area += share / n;
    least = std::min(least, share);
    most = std::max(most, share);
    CHECK(aspect > 0.74);
    CHECK(aspect < 1.35);
    tops.insert(r.top);
    lefts.insert(r.left);
  }
  CHECK(least > 0.079);
  CHECK(least < 0.083);
  CHECK(most > 0.97);
  // The mean of 60,000 crops drawn with NumPy: 0.434 (below the 0.54 of uniform areas, because large crops of another
  // aspect than the image's do not fit). Standard error here: 0.0015.
  CHECK(std::abs(area - 0.434) < 0.006);
  CHECK(tops.size() > 150);
  CHECK(lefts.size() > 200);
  // no crop of these fits: torchvision's central fallback, whole short side, aspect clipped to 3/4 and 4/3
  CHECK(random_resized_crop({10, 1000}, rng) == Rect{0, 493, 10, 13});
  CHECK(random_resized_crop({1000, 10}, rng) == Rect{493, 0, 13, 10});
  CHECK(random_resized_crop({1, 1}, rng) == Rect{0, 0, 1, 1});
}

TEST_CASE("normalise: ToTensor's division, then mean and deviation, in float32; mirrored on demand") {
  const std::vector<std::uint8_t> rgb{0, 1, 2, 253, 254, 255, 7, 77, 177, 10, 20, 30};
  Normalize how;
  for (const bool flip : {false, true}) {
    std::vector<float> out(12);
    normalize(rgb.data(), 2, 2, flip, how, out.data());
    for (int y = 0; y < 2; ++y)
      for (int x = 0; x < 2; ++x)
        for (int c = 0; c < 3; ++c) {
          const float v =
              static_cast<float>(rgb[static_cast<std::size_t>((y * 2 + (flip ? 1 - x : x)) * 3 + c)]) / 255.0f;
          const auto channel = static_cast<std::size_t>(c);
          CHECK(out[static_cast<std::size_t>((y * 2 + x) * 3 + c)] == (v - how.mean[channel]) / how.std[channel]);
        }
  }
}

TEST_CASE("ImagePipeline: crops, flips and floats come from the placement it reports") {
  const std::string path = test::golden_path("images/photo_420.JPEG");
  const Image whole = read_image(path);
  ImagePipeline pipeline;
  const Transform t = Transform::train(64);
  int flipped = 0;
  for (std::uint64_t i = 0; i < 40; ++i) {
    Rng rng(9, i);
    std::vector<float> got(64 * 64 * 3), want(64 * 64 * 3);
    pipeline.load(path, t, rng, got.data());
    const Placement p = pipeline.placement();
    normalize(resize(ImageView(whole).part(p.crop), 64, 64).rgb.data(), 64, 64, p.flip, t.normalize, want.data());
    CHECK(got == want);
    flipped += p.flip;
    Rng again(9, i);
    const Image pixels = pipeline.load_pixels(read_file(path, 1u << 24), path, t, again);
    normalize(pixels.rgb.data(), 64, 64, false, t.normalize, want.data());
    CHECK(got == want);
  }
  CHECK(flipped > 8);
  CHECK(flipped < 32);
}
