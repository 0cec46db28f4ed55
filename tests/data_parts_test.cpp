// Images that a device resizes and normalises (LoaderOptions::parts, made_of_pixels): the bits of those that the loader
// makes itself, from every transform, size and source of pixels.
#include <doctest/doctest.h>

#include <cstring>

#include "data/encode.h"
#include "data/loader.h"
#include "data/metadata.h"
#include "kernels/kernels.h"
#include "tensor/pixels.h"
#include "tests/scratch.h"
#include "tests/skip.h"

using namespace pen;

namespace {

// Pictures of many sizes, JPEG and PNG; one is large enough to be resized by the loader itself.
struct Pictures {
  test::ScratchFolder folder;
  Metadata list{folder / "images", {"a"}};
  Pictures() {
    Rng rng(5);
    std::filesystem::create_directories(folder / "images/a");
    const ImageSize sizes[] = {{40, 56}, {33, 20},   {24, 24}, {7, 90}, {150, 31},
                               {1, 1},   {300, 420}, {64, 48}, {25, 24}};
    int i = 0;
    for (const ImageSize size : sizes) {
      std::vector<std::uint8_t> rgb(static_cast<std::size_t>(size.height) * static_cast<std::size_t>(size.width) * 3);
      for (auto& v : rgb) v = static_cast<std::uint8_t>(rng.below(4) == 0 ? 255 : rng.below(256));
      const std::string path = folder / ("images/a/p" + std::to_string(i) + (i % 2 ? ".jpg" : ".png"));
      if (i % 2)
        write_jpeg(path, size.height, size.width, rgb, 90);
      else
        write_png(path, size.height, size.width, 3, rgb);
      list.add(path, 0);
      ++i;
    }
  }
};

kernels::PixelNormal normal_of(const Normalize& n) {
  return {{n.mean[0], n.mean[1], n.mean[2]}, {n.std[0], n.std[1], n.std[2]}};
}

// Three epochs by both ways, in batches of changing sizes.
void check_parts(const Pictures& pictures, const Transform& transform, LoaderOptions options, Device device) {
  options.batch_size = 4;
  options.shuffle = true;
  Loader whole(pictures.list, transform, options);
  options.parts = true;
  Loader parts(pictures.list, transform, options);
  Uploader uploader(device);
  std::int64_t images = 0;
  for (int epoch = 0; epoch < 3; ++epoch) {
    whole.start_epoch(epoch);
    parts.start_epoch(epoch);
    while (const BatchPtr want = whole.next()) {
      const BatchPtr got = parts.next();
      REQUIRE(got);
      CHECK(got->paths == want->paths);
      CHECK(got->images.empty());
      for (const PixelPart& part : got->parts) {
        const auto side = static_cast<std::size_t>(want->side);
        CHECK(part.rgb.size() <= ImagePipeline::part_limit * 3 * side * side);
      }
      const Tensor made = made_of_pixels(std::span(got->parts).first(static_cast<std::size_t>(got->size)), got->side,
                                         normal_of(got->normalize), uploader);
      const std::vector<float> values = made.to_vector<float>();
      REQUIRE(values.size() == static_cast<std::size_t>(want->size * want->side * want->side * 3));
      CHECK(std::memcmp(values.data(), want->images.data(), values.size() * sizeof(float)) == 0);
      images += want->size;
    }
    CHECK_FALSE(parts.next());
  }
  CHECK(images == 3 * pictures.list.size());
}

void check_everything(Device device) {
  const Pictures pictures;
  Transform other = Transform::train(24);
  other.normalize = {{0.1f, 0.2f, 0.9f}, {0.3f, 0.7f, 1.0f}};
  Transform padded = Transform::val(24);
  padded.resize = 15;
  for (const Transform& t : {Transform::train(24), Transform::val(24), Transform::score(31, false),
                             Transform::score(24, true), Transform::train(1), other, padded}) {
    CAPTURE(t.size);
    check_parts(pictures, t, {}, device);
    LoaderOptions fast;
    fast.decode = Decode::fast;
    fast.workers = 2;
    check_parts(pictures, t, fast, device);
    LoaderOptions cached;
    cached.cache = std::make_shared<PixelCache>(PixelCacheOptions{"ram", 27, 1 << 20, Decode::exact});
    check_parts(pictures, t, cached, device);
  }
}

}  // namespace

TEST_CASE("parts: images made from pixels and tables have the loader's bits") { check_everything({}); }

TEST_CASE("parts: on a GPU too") {
  if (kernels::device::cuda_count() == 0) PEN_SKIP("needs a GPU");
  check_everything({Device::Kind::cuda, 0});
}

TEST_CASE("parts: an unreadable file is left out of its batch, and the others keep their bits") {
  const Pictures pictures;
  test::put(pictures.list.path(2), "no image");
  LoaderOptions options;
  options.bad_files = BadFiles::skip;
  options.max_bad_share = 0.5;
  options.batch_size = 9;
  const Transform t = Transform::val(24);
  Loader whole(pictures.list, t, options);
  options.parts = true;
  Loader parts(pictures.list, t, options);
  whole.start_epoch(0);
  parts.start_epoch(0);
  const BatchPtr want = whole.next(), got = parts.next();
  REQUIRE((want && got));
  CHECK(got->size == 8);
  CHECK(got->paths == want->paths);
  Uploader uploader(Device{});
  const std::vector<float> made =
      made_of_pixels(std::span(got->parts).first(8), got->side, normal_of(got->normalize), uploader).to_vector<float>();
  CHECK(std::memcmp(made.data(), want->images.data(), made.size() * sizeof(float)) == 0);
}

TEST_CASE("parts: tables that do not fit their image or the result are refused") {
  Uploader uploader(Device{});
  PixelPart good;
  good.rows = good.cols = 2;
  good.rgb.assign(12, 7);
  unchanged(2, good.x);
  unchanged(2, good.y);
  const auto make = [&](const PixelPart& part) {
    return made_of_pixels(std::span(&part, 1), 3, normal_of({}), uploader);
  };
  CHECK(make(good).shape() == Shape{1, 3, 3, 3});
  for (const auto& spoil : std::vector<std::function<void(PixelPart&)>>{
           [](PixelPart& p) { p.rgb.pop_back(); }, [](PixelPart& p) { p.x.start[1] = 2; },
           [](PixelPart& p) { p.y.start[0] = -1; }, [](PixelPart& p) { p.y.taps[1] = 2; },
           [](PixelPart& p) { p.x.weights.pop_back(); }, [](PixelPart& p) { p.left = 2; },
           [](PixelPart& p) { p.top = -1; }}) {
    PixelPart bad = good;
    spoil(bad);
    CHECK_THROWS_AS(make(bad), Error);
  }
}
