// Exact pixels of Pillow and torchvision for odd image files (images.safetensors, images/).
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/file.h"
#include "data/transforms.h"
#include "tests/golden.h"

using namespace pen;

namespace {

const test::Golden& golden() {
  static const test::Golden file("images.safetensors");
  return file;
}

std::vector<std::uint8_t> bytes_of(const std::string& file) {
  return read_file(test::golden_path("images/" + file), std::uint64_t{1} << 24);
}

// The names in the recording that end in |what, without that ending.
std::vector<std::string> files_with(const std::string& what) {
  std::vector<std::string> files;
  for (const std::string& name : golden().names())
    if (name.size() > what.size() && name.ends_with("|" + what))
      files.push_back(name.substr(0, name.size() - what.size() - 1));
  return files;
}

void check_transform(const std::string& what, const Transform& transform, std::size_t least) {
  const std::vector<std::string> files = files_with(what);
  CHECK(files.size() >= least);
  ImagePipeline pipeline;
  for (const std::string& file : files) {
    CAPTURE(file);
    Rng rng(1);
    const Image got = pipeline.load_pixels(bytes_of(file), file, transform, rng);
    CHECK(golden().shape(file + "|" + what) == std::vector<std::int64_t>{got.height, got.width, 3});
    CHECK(got.rgb == golden().u8(file + "|" + what));
  }
}

}  // namespace

TEST_CASE("golden images: decoded sizes") {
  const std::vector<std::string> files = files_with("decoded_size_wh");
  CHECK(files.size() >= 15);
  for (const std::string& file : files) {
    CAPTURE(file);
    const Image image = decode_image(bytes_of(file), file);
    CHECK(golden().i64(file + "|decoded_size_wh") == std::vector<std::int64_t>{image.width, image.height});
  }
}

TEST_CASE("golden images: scoring, Resize(224) and CenterCrop(224)") {
  check_transform("score224", Transform::score(224, false), 15);
}

TEST_CASE("golden images: validation while training, Resize(256) and CenterCrop(224)") {
  CHECK(Transform::val(224).resize == 256);
  check_transform("val256", Transform::val(224), 4);
}

TEST_CASE("golden images: both sides resized, Resize([224, 224])") {
  check_transform("square224", Transform::score(224, true), 4);
  check_transform("square224", Transform::wsol(224), 4);
}

TEST_CASE("golden images: training crops, from the full decode and from the partial one") {
  int crops = 0;
  for (const std::string& name : golden().names()) {
    if (!name.ends_with("_ijhw")) continue;
    CAPTURE(name);
    const std::vector<std::int64_t> ijhw = golden().i64(name);
    const Rect crop{static_cast<int>(ijhw[0]), static_cast<int>(ijhw[1]), static_cast<int>(ijhw[2]),
                    static_cast<int>(ijhw[3])};
    const std::vector<std::uint8_t> want = golden().u8(name.substr(0, name.size() - 5));
    const std::string file = name.substr(0, name.find('|'));
    const std::vector<std::uint8_t> bytes = bytes_of(file);
    CHECK(resize(ImageView(decode_image(bytes, file)).part(crop), 224, 224).rgb == want);
    ImageReader reader;
    reader.open(bytes, file);
    CHECK(resize(reader.read(crop), 224, 224).rgb == want);
    ++crops;
  }
  CHECK(crops >= 12);
}

TEST_CASE("golden images: truncated, empty and no image at all are refused by name") {
  for (const std::string file : {"truncated.jpg", "not_an_image.jpg", "empty.jpg"}) {
    CAPTURE(file);
    try {
      decode_image(bytes_of(file), file);
      FAIL_CHECK("accepted");
    } catch (const Error& e) {
      CHECK(e.kind() == ErrorKind::data);
      CHECK(std::string(e.what()).find(file) != std::string::npos);
    }
  }
}
