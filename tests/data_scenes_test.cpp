#include "data/scenes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/json.h"
#include "base/parallel.h"
#include "data/annotations.h"
#include "data/encode.h"
#include "data/idx.h"
#include "data/image.h"
#include "tests/scratch.h"
#include "tests/skip.h"

using namespace pen;
using test::check_error, test::put;

namespace {

std::string idx_bytes(const std::vector<std::uint32_t>& shape, const std::string& data) {
  std::string out = {0, 0, 8, static_cast<char>(shape.size())};
  for (const std::uint32_t n : shape)
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(n >> shift & 255);
  return out + data;
}

// A tiny Fashion-MNIST: per class `count` rectangles, whose proportions differ by class.
void fake_fashion(const std::string& folder, int count) {
  for (const std::string half : {"train", "t10k"}) {
    std::string images, labels;
    for (int i = 0; i < 10 * count; ++i) {
      const int label = i % 10, w = 8 + 2 * label, h = 26 - 2 * label + i / 10;
      for (int y = 0; y < 28; ++y)
        for (int x = 0; x < 28; ++x) {
          const bool inside = std::abs(2 * x - 27) < w && std::abs(2 * y - 27) < h;
          images += static_cast<char>(inside ? 120 + 4 * y : 0);
        }
      labels += static_cast<char>(label);
    }
    const auto n = static_cast<std::uint32_t>(10 * count);
    put(folder + "/" + half + "-images-idx3-ubyte", idx_bytes({n, 28, 28}, images));
    put(folder + "/" + half + "-labels-idx1-ubyte", idx_bytes({n}, labels));
  }
}

SceneOptions small(const test::ScratchFolder& root, const std::string& out) {
  fake_fashion(root / "fashion", 3);
  SceneOptions o;
  o.fashion_mnist_path = root / "fashion";
  o.output_path = root / out;
  o.size = 48;
  o.train = 20;
  o.val = 10;
  o.format = "png";
  o.num_per_class_in_train_val = 1;
  return o;
}

std::map<std::string, std::string> all_files(const std::string& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) out[entry.path().string().substr(folder.size())] = test::slurp(entry.path().string());
  return out;
}

// Bounds of the pixels that are set, found by another way than the product's: by rows and columns.
Box bounds(const Image& mask) {
  Box box{mask.width, mask.height, 0, 0};
  const auto set = [&](std::int64_t y, std::int64_t x) {
    return mask.rgb[static_cast<std::size_t>((y * mask.width + x) * 3)] > 127;
  };
  for (std::int64_t x = 0; x < mask.width; ++x)
    for (std::int64_t y = 0; y < mask.height; ++y)
      if (set(y, x)) {
        if (box.xmax == 0) box.xmin = x;
        box.xmax = x + 1;
      }
  for (std::int64_t y = 0; y < mask.height; ++y)
    for (std::int64_t x = 0; x < mask.width; ++x)
      if (set(y, x)) {
        if (box.ymax == 0) box.ymin = y;
        box.ymax = y + 1;
      }
  return box;
}

void check_tree(const SceneOptions& o) {
  const std::string ending = o.format == "png" ? ".png" : ".jpg";
  for (const std::string split : {"train", "val"}) {
    const Metadata m = Metadata::read(o.output_path + "/metadata/" + split + ".json");
    CHECK(m.size() == (split == "train" ? o.train : o.val));
    CHECK(m.classes() == scene_classes(o.classes));
    std::vector<std::int64_t> per_class(static_cast<std::size_t>(o.classes));
    AnnotationReader reader;
    for (std::int64_t i = 0; i < m.size(); ++i) {
      const std::string path = m.path(i), key(image_key(path)), name = m.class_name(m.label(i));
      CAPTURE(path);
      ++per_class[static_cast<std::size_t>(m.label(i))];
      CHECK(path == o.output_path + "/" + split + "/" + name + "/" + key + ending);
      const Image image = read_image(path);
      CHECK(image.height == o.size);
      CHECK(image.width == o.size);
      CHECK(*std::max_element(image.rgb.begin(), image.rgb.end()) >
            *std::min_element(image.rgb.begin(), image.rgb.end()) + 20);

      const Image mask = read_image(o.output_path + "/masks/" + split + "/" + name + "/" + key + ".png");
      CHECK(mask.height == o.size);
      CHECK(std::all_of(mask.rgb.begin(), mask.rgb.end(), [](std::uint8_t v) { return v == 0 || v == 255; }));
      const std::string xml =
          o.output_path + "/Annotation/" + split + (split == "train" ? "/" + name : "") + "/" + key + ".xml";
      const Annotation annotation = reader.read(xml, name, path);
      CHECK(annotation.width == o.size);
      REQUIRE(annotation.boxes.size() == 1);
      const Box box = annotation.boxes[0];
      CHECK(box == bounds(mask));
      // the garment is whole: it keeps off the border, and its longer side is in the range asked for
      CHECK(box.xmin >= 1);
      CHECK(box.ymin >= 1);
      CHECK(box.xmax <= o.size - 1);
      CHECK(box.ymax <= o.size - 1);
      const double longer = static_cast<double>(std::max(box.xmax - box.xmin, box.ymax - box.ymin));
      CHECK(longer >= o.garment_min * static_cast<double>(o.size) - 4);
      CHECK(longer <= o.garment_max * static_cast<double>(o.size) + 4);
    }
    for (const std::int64_t n : per_class) CHECK(std::abs(n - m.size() / o.classes) <= 1);
  }
  const BoxTable boxes = BoxTable::read(o.output_path + "/metadata/val_bboxes.json");
  CHECK(boxes.size() == o.val);
  CHECK(BoxTable::read(o.output_path + "/metadata/train_val_bboxes.json").size() ==
        o.classes * o.num_per_class_in_train_val);
  // boxes are in the scene's own frame
  const Metadata val = Metadata::read(o.output_path + "/metadata/val.json");
  AnnotationReader reader;
  const std::string key(image_key(val.path_view(0)));
  REQUIRE(boxes.find(key));
  CHECK(*boxes.find(key) ==
        reader.read(o.output_path + "/Annotation/val/" + key + ".xml", val.class_name(val.label(0)), "x").boxes);
}

}  // namespace

TEST_CASE("scenes: tree, boxes equal to the bounds of the masks, metadata, images that decode") {
  test::ScratchFolder root;
  SceneOptions o = small(root, "out");
  make_scenes(o);
  check_tree(o);
  const rapidjson::Document options = parse_json_file(root / "out/scenes.json");
  CHECK(options["complete"].GetBool());
  CHECK(options["size"].GetInt() == 48);
}

TEST_CASE("scenes: fewer classes, other sizes, JPEG") {
  test::ScratchFolder root;
  SceneOptions o = small(root, "out");
  o.classes = 3;
  o.train = 7;
  o.val = 3;
  o.size = 33;
  o.format = "jpeg";
  o.garment_min = 0.5;
  o.garment_max = 0.5;
  o.clutter_min = o.clutter_max = 0;
  make_scenes(o);
  CHECK(scene_classes(3) == std::vector<std::string>{"ankle_boot", "bag", "trouser"});
  check_tree(o);
}

TEST_CASE("scenes: the same seed gives the same bytes with any number of threads, another seed others") {
  test::ScratchFolder root;
  SceneOptions o = small(root, "one");
  const int before = threads();
  set_threads(1);
  make_scenes(o);
  set_threads(3);
  std::map<std::string, std::string> one = all_files(root / "one");
  o.output_path = root / "two";
  make_scenes(o);
  set_threads(before);
  std::map<std::string, std::string> two = all_files(root / "two");
  CHECK(one.size() == 30 * 3 + 7 + 1);  // image, mask and XML of each; the metadata; scenes.json
  std::size_t compared = 0;
  for (const auto& [name, bytes] : one) {
    if (name.starts_with("/metadata")) continue;  // holds the folder's name
    CAPTURE(name);
    REQUIRE(two.count(name) == 1);
    CHECK(two[name] == bytes);
    ++compared;
  }
  CHECK(compared == 91);
  o.output_path = root / "three";
  o.seed = 5;
  make_scenes(o);
  std::map<std::string, std::string> three = all_files(root / "three");
  CHECK(three["/val/bag/val_000001.png"] != one["/val/bag/val_000001.png"]);
}

TEST_CASE("scenes: a scene does not depend on how many there are") {
  test::ScratchFolder root;
  SceneOptions o = small(root, "few");
  make_scenes(o);
  o.output_path = root / "many";
  o.train = 30;
  make_scenes(o);
  CHECK(test::slurp(root / "few/train/bag/bag_000001.png") == test::slurp(root / "many/train/bag/bag_000001.png"));
}

TEST_CASE("scenes: an output folder that exists is kept, replaced on request, and never if it is somebody else's") {
  test::ScratchFolder root;
  SceneOptions o = small(root, "out");
  make_scenes(o);
  const std::string before = test::slurp(root / "out/train/bag/bag_000000.png");
  put(root / "out/mine.txt", "kept");
  o.seed = 9;
  o.train = 10;
  check_error(ErrorKind::usage, {"exists already"}, [&] { make_scenes(o); });
  CHECK(test::slurp(root / "out/train/bag/bag_000000.png") == before);
  o.overwrite = true;
  make_scenes(o);
  CHECK(test::slurp(root / "out/train/bag/bag_000000.png") != before);
  CHECK_FALSE(std::filesystem::exists(root / "out/train/bag/bag_000001.png"));
  CHECK(test::slurp(root / "out/mine.txt") == "kept");

  put(root / "photos/train/cat/1.jpg", "mine");
  o.output_path = root / "photos";
  check_error(ErrorKind::usage, {"was not written by"}, [&] { make_scenes(o); });
  CHECK(test::slurp(root / "photos/train/cat/1.jpg") == "mine");
}

TEST_CASE("scenes: options out of range") {
  test::ScratchFolder root;
  const SceneOptions good = small(root, "out");
  const auto bad = [&](const std::string& name, const std::function<void(SceneOptions&)>& change) {
    SceneOptions o = good;
    change(o);
    check_error(ErrorKind::usage, {name}, [&] { make_scenes(o); });
    CHECK_FALSE(std::filesystem::exists(root / "out"));
  };
  bad("size", [](SceneOptions& o) { o.size = 8; });
  bad("classes", [](SceneOptions& o) { o.classes = 11; });
  bad("train", [](SceneOptions& o) { o.train = 3; });
  bad("garment_max", [](SceneOptions& o) { o.garment_max = 0.3; });
  bad("garment_min", [](SceneOptions& o) { o.garment_min = std::nan(""); });
  bad("format", [](SceneOptions& o) { o.format = "gif"; });
  bad("clutter_max", [](SceneOptions& o) { o.clutter_max = 1; });
  bad("output", [](SceneOptions& o) { o.output_path = ""; });
}

TEST_CASE("scenes: Fashion-MNIST missing or damaged") {
  test::ScratchFolder root;
  SceneOptions o = small(root, "out");
  const std::string images = root / "fashion/train-images-idx3-ubyte",
                    labels = root / "fashion/train-labels-idx1-ubyte";
  const std::string good = test::slurp(images), good_labels = test::slurp(labels);
  const auto stops = [&](std::initializer_list<std::string> parts) {
    o.overwrite = true;
    check_error(ErrorKind::data, parts, [&] { make_scenes(o); });
    CHECK_FALSE(std::filesystem::exists(root / "out/metadata"));
  };
  put(images, good.substr(0, good.size() - 1));
  stops({images, "cut short"});
  put(images, good + "x");
  stops({images, "bytes behind its end"});
  put(images, "");
  stops({images, "cut short"});
  put(images, std::string("\x1f\x8b\x08\0\0\0\0\0\0\3abcdefgh", 18));  // gzip with a broken stream
  stops({images});
  put(images, good_labels);
  stops({images, "not an IDX file"});
  put(images, idx_bytes({0xffffffff, 28, 28}, ""));
  stops({images, "more than is allowed"});
  put(images, idx_bytes({0, 28, 28}, ""));
  stops({images, "dimension 0 is 0"});
  put(images, idx_bytes({30, 27, 28}, std::string(30 * 27 * 28, '\0')));
  stops({images, "27x28"});
  put(images, good);
  put(labels, idx_bytes({29}, good_labels.substr(8, 29)));
  stops({labels, "29 labels for 30 pictures"});
  put(labels, idx_bytes({30}, std::string(30, '\x0a')));
  stops({labels, "label 10"});
  std::filesystem::remove(images);
  try {
    make_scenes(o);
    FAIL_CHECK("no error was thrown");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("train-images-idx3-ubyte.gz") != std::string::npos);
    CHECK(error.hint().find("apt-get install dataset-fashion-mnist") != std::string::npos);
  }
}

TEST_CASE("scenes: real garments") {
  SceneOptions o;
  if (!std::filesystem::exists(o.fashion_mnist_path)) PEN_SKIP("needs Debian's package dataset-fashion-mnist");
  test::ScratchFolder root;
  o.output_path = root / "out";
  o.train = 100;
  o.val = 50;
  o.num_per_class_in_train_val = 4;
  make_scenes(o);
  check_tree(o);
  // The garment is not given away by being bright: its mean is above the rest's about as often as below.
  const Metadata m = Metadata::read(root / "out/metadata/train.json");
  int brighter = 0;
  for (std::int64_t i = 0; i < m.size(); ++i) {
    const Image image = read_image(m.path(i));
    const Image mask = read_image(
        root / ("out/masks/train/" + m.class_name(m.label(i)) + "/" + std::string(image_key(m.path_view(i))) + ".png"));
    double sum[2] = {0, 0}, count[2] = {0, 0};
    for (std::size_t k = 0; k < image.rgb.size(); ++k) {
      sum[mask.rgb[k] / 255] += image.rgb[k];
      count[mask.rgb[k] / 255] += 1;
    }
    brighter += sum[1] / count[1] > sum[0] / count[0];
  }
  CHECK(brighter > 15);
  CHECK(brighter < 85);
}

TEST_CASE("cut_out: specks go, holes are filled or left open, an empty picture has no fabric") {
  std::vector<std::uint8_t> pixels(28 * 28);
  CHECK(cut_out(pixels, false).area == 0);
  for (int y = 5; y < 25; ++y)
    for (int x = 5; x < 25; ++x) pixels[static_cast<std::size_t>(y * 28 + x)] = 200;
  for (int y = 10; y < 15; ++y)
    for (int x = 10; x < 15; ++x) pixels[static_cast<std::size_t>(y * 28 + x)] = 0;
  pixels[0] = 255;  // a speck
  CHECK(cut_out(pixels, false).area == 400);
  CHECK(cut_out(pixels, true).area == 375);
  CHECK_THROWS_AS(cut_out(std::vector<std::uint8_t>(5), false), Error);
}

TEST_CASE("encode: PNG keeps every byte, JPEG nearly, both the same each time") {
  std::vector<std::uint8_t> rgb;
  for (int y = 0; y < 13; ++y)
    for (int x = 0; x < 17; ++x)
      for (int c = 0; c < 3; ++c) rgb.push_back(static_cast<std::uint8_t>(40 + 5 * x + 6 * y + 20 * c));
  const std::vector<std::uint8_t> png = encode_png(13, 17, 3, rgb);
  const Image back = decode_image(png, "x.png");
  CHECK(back.height == 13);
  CHECK(back.width == 17);
  CHECK(back.rgb == rgb);
  CHECK(encode_png(13, 17, 3, rgb) == png);

  const std::vector<std::uint8_t> gray(rgb.begin(), rgb.begin() + 13 * 17);
  const Image gray_back = decode_image(encode_png(13, 17, 1, gray), "g.png");
  REQUIRE(gray_back.rgb.size() == 3 * gray.size());
  for (std::size_t i = 0; i < gray.size(); ++i) CHECK(gray_back.rgb[3 * i + 1] == gray[i]);

  const std::vector<std::uint8_t> jpeg = encode_jpeg(13, 17, rgb, 95);
  const Image lossy = decode_image(jpeg, "x.jpg");
  REQUIRE(lossy.rgb.size() == rgb.size());
  int worst = 0;
  for (std::size_t i = 0; i < rgb.size(); ++i) worst = std::max(worst, std::abs(int{lossy.rgb[i]} - int{rgb[i]}));
  CHECK(worst > 0);
  CHECK(worst < 24);
  CHECK(encode_jpeg(13, 17, rgb, 95) == jpeg);
  CHECK(encode_jpeg(13, 17, rgb, 20).size() < jpeg.size());
}

TEST_CASE("encode: bad arguments and places that cannot be written") {
  const std::vector<std::uint8_t> rgb(12);
  CHECK_THROWS_AS(encode_png(2, 2, 4, rgb), Error);
  CHECK_THROWS_AS(encode_png(2, 3, 3, rgb), Error);
  CHECK_THROWS_AS(encode_png(0, 2, 3, {}), Error);
  CHECK_THROWS_AS(encode_jpeg(2, 2, rgb, 0), Error);
  CHECK_THROWS_AS(encode_jpeg(70000, 1, std::vector<std::uint8_t>(210000), 90), Error);
  test::ScratchFolder root;
  check_error(ErrorKind::run, {"none/a.png", "No such file"}, [&] { write_png(root / "none/a.png", 2, 2, 3, rgb); });
  write_png(root / "a.png", 2, 2, 3, rgb);
  CHECK(std::distance(std::filesystem::directory_iterator(root.path()), {}) == 1);
  std::filesystem::create_directory(root / "b.png");  // the name is taken by a folder
  check_error(ErrorKind::run, {"cannot write", "b.png"}, [&] { write_jpeg(root / "b.png", 2, 2, rgb, 90); });
  CHECK(std::distance(std::filesystem::directory_iterator(root.path()), {}) == 2);
}
