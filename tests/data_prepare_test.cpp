#include "data/prepare.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "data/annotations.h"
#include "tests/scratch.h"

using namespace pen;
using test::check_error, test::put;

namespace {

std::string xml(const std::string& name, int w, int h, const std::vector<Box>& boxes) {
  return voc_xml("val", "x", name, w, h, boxes);
}

Annotation parse(const std::string& text, const std::string& name = "cat") {
  AnnotationReader reader;
  return reader.parse({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, "a.xml", name, "a.png");
}

void check_bad(const std::string& text, std::initializer_list<std::string> parts) {
  CAPTURE(text);
  check_error(ErrorKind::data, parts, [&] { parse(text); });
  check_error(ErrorKind::data, {"'a.xml'", "'a.png'"}, [&] { parse(text); });
}

// Two classes, 6 training and 2 validation images each, with validation annotations.
PrepareOptions small_tree(const test::ScratchFolder& root) {
  for (const std::string name : {"cat", "dog"}) {
    for (int i = 0; i < 6; ++i) put(root / ("train/" + name + "/" + name + "_" + std::to_string(i) + ".png"), "");
    for (int i = 0; i < 2; ++i) {
      const std::string stem = "val_" + name + std::to_string(i);
      put(root / ("val/" + name + "/" + stem + ".png"), "");
      put(root / ("boxes/" + stem + ".xml"), xml(name, 100, 50, {{10, 10, 60, 40}}));
    }
  }
  PrepareOptions o;
  o.train_path = root / "train";
  o.val_path = root / "val";
  o.val_annotation_path = root / "boxes";
  o.output_base_path = root / "out";
  o.num_per_class_in_train_val = 2;
  return o;
}

bool nothing_written(const PrepareOptions& o) {
  return !std::filesystem::exists(o.output_base_path) || std::filesystem::is_empty(o.output_base_path);
}

}  // namespace

TEST_CASE("annotation: boxes of the class only, spaces allowed") {
  const Annotation a = parse(
      "<annotation><size><width> 64\n</width><height>48</height></size>"
      "<object><name>dog</name><bndbox><xmin>-9</xmin></bndbox></object>"
      "<object><name> cat </name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>64</xmax><ymax>48</ymax></bndbox></object>"
      "<object><name>cat</name><bndbox><ymax>9</ymax><xmin>3</xmin><xmax>3</xmax><ymin>2</ymin></bndbox></object>"
      "</annotation>");
  CHECK(a.width == 64);
  CHECK(a.height == 48);
  CHECK(a.boxes == std::vector<Box>{{0, 0, 64, 48}, {3, 2, 3, 9}});
  CHECK(parse(xml("cat", 5, 6, {{1, 2, 3, 4}})).boxes == std::vector<Box>{{1, 2, 3, 4}});
}

TEST_CASE("annotation: bad files are one clear line") {
  check_bad("", {"not valid XML"});
  check_bad("<annotation><size>", {"not valid XML near byte"});
  check_bad("<other/>", {"no <annotation>"});
  check_bad("<annotation/>", {"has no size"});
  check_bad("<annotation><size><width>3</width></size></annotation>", {"size has no height"});
  check_bad(xml("cat", 0, 0, {{0, 0, 0, 0}}), {"size is 0x0"});
  check_bad(xml("cat", 10, 0, {{0, 0, 0, 0}}), {"size is 10x0"});
  check_bad(xml("cat", 70000, 10, {{0, 0, 1, 1}}), {"size is 70000x10"});
  check_bad(xml("dog", 10, 10, {{1, 1, 2, 2}}), {"no object of class 'cat' (only of 'dog')"});
  check_bad(xml("cat", 10, 10, {}), {"no object of class 'cat'"});
  check_bad(xml("cat", 10, 10, {{1, 1, 11, 2}}), {"x 1..11, y 1..2 is outside of the image (10x10)"});
  check_bad(xml("cat", 10, 10, {{-1, 1, 5, 2}}), {"outside of the image"});
  check_bad(xml("cat", 10, 10, {{1, 1, 5, 12}}), {"outside of the image"});
  check_bad(xml("cat", 10, 10, {{5, 1, 4, 2}}), {"corners exchanged"});
  check_bad(xml("cat", 10, 10, {{1, 3, 4, 2}}), {"corners exchanged"});
  check_bad("<annotation><size><width>3.5</width><height>3</height></size></annotation>", {"size/width is '3.5'"});
  check_bad("<annotation><size><width>99999999999999999999</width><height>3</height></size></annotation>",
            {"no integer"});
  check_bad("<annotation><size><width>3</width><height>3</height></size><object><name>cat</name></object></annotation>",
            {"no bndbox"});
}

TEST_CASE("annotation: a missing file names the image") {
  AnnotationReader reader;
  check_error(ErrorKind::data, {"'img/7.JPEG'", "none.xml", "No such file"},
              [&] { reader.read("none.xml", "cat", "img/7.JPEG"); });
}

TEST_CASE("annotation: boxes in the frame of the resized, cropped image") {
  // 400 x 300 to 224: ratio 224/300, cut (400 * 224/300 - 224) / 2 = 37.33 on x
  CHECK(box_in_frame({100, 30, 300, 270}, 400, 300, 224) == Box{37, 22, 186, 201});
  // truncation is towards zero: 10 * 0.7467 - 37.33 = -29.87 becomes -29, not -30; beyond the frame is kept
  CHECK(box_in_frame({10, 0, 400, 300}, 400, 300, 224) == Box{-29, 0, 261, 224});
  // the same with the axes exchanged
  CHECK(box_in_frame({30, 100, 270, 300}, 300, 400, 224) == Box{22, 37, 201, 186});
  CHECK(box_in_frame({100, 30, 300, 270}, 400, 300, 224, true) == Box{56, 22, 168, 201});
  CHECK(box_in_frame({3, 4, 50, 60}, 112, 112, 112) == Box{3, 4, 50, 60});
}

TEST_CASE("scan: sorted by bytes, below class folders, endings in any case") {
  test::ScratchFolder root;
  for (const char* name : {"b/x.JPG", "b/a.tiff", "b/sub/c.webp", "b/Z.pgm", "b/notes.txt", "b/x.jpg.gz", "b/.jpeg",
                           "A/1.PNG", "A/10.bmp", "A/2.TIF", "A/3.ppm", "stray.png"})
    put(root / name, "");
  const Metadata m = scan_images(root.path());
  std::vector<std::string> paths;
  for (std::int64_t i = 0; i < m.size(); ++i) paths.push_back(m.path(i).substr(root.path().size() + 1));
  CHECK(paths == std::vector<std::string>{"A/1.PNG", "A/10.bmp", "A/2.TIF", "A/3.ppm", "b/.jpeg", "b/Z.pgm", "b/a.tiff",
                                          "b/x.JPG", "b/sub/c.webp"});
  CHECK(m.classes() == std::vector<std::string>{"A", "b"});
  CHECK(m.label(3) == 0);
  CHECK(m.label(4) == 1);
  // As given on the command line: a slash at the end is not doubled.
  CHECK(scan_images(root.path() + "/").path(0) == root.path() + "/A/1.PNG");
}

TEST_CASE("scan: a link that leads back up is an error, not an endless walk") {
  test::ScratchFolder root;
  put(root / "a/1.png", "");
  std::filesystem::create_directory_symlink(root.path() + "/a", root / "a/up");
  check_error(ErrorKind::data, {"symbolic link"}, [&] { scan_images(root.path()); });
}

TEST_CASE("prepare: without annotations the split takes the number per class from every class") {
  test::ScratchFolder root;
  PrepareOptions o = small_tree(root);
  const PrepareResult result = prepare(o);
  CHECK(result.classes == 2);
  CHECK(result.train == 12);
  CHECK(result.train_val == 4);
  CHECK(result.train_train == 8);
  CHECK(result.val == 4);
  CHECK(result.annotated == 0);
  const Metadata train = Metadata::read(root / "out/train.json"), a = Metadata::read(root / "out/train_train.json"),
                 b = Metadata::read(root / "out/train_val.json"), s = Metadata::read(root / "out/train_shuffle.json");
  std::map<std::int64_t, int> per_class;
  std::multiset<std::string> all, parts;
  for (std::int64_t i = 0; i < train.size(); ++i) {
    all.insert(train.path(i));
    CHECK(s.path(i) == train.path(i));
  }
  for (std::int64_t i = 0; i < a.size(); ++i) parts.insert(a.path(i));
  for (std::int64_t i = 0; i < b.size(); ++i) {
    parts.insert(b.path(i));
    ++per_class[b.label(i)];
    CHECK(b.path(i).find(b.class_name(b.label(i))) != std::string::npos);
  }
  CHECK(all == parts);
  CHECK(per_class == std::map<std::int64_t, int>{{0, 2}, {1, 2}});
  CHECK_FALSE(std::filesystem::exists(root / "out/train_val_bboxes.json"));

  // Too few images: all of them, and the program goes on.
  o.num_per_class_in_train_val = 50;
  o.output_base_path = root / "out2";
  CHECK(prepare(o).train_val == 12);
}

TEST_CASE("prepare: same seed, same bytes; another seed, another order; shuffled labels stay in range and move") {
  test::ScratchFolder root;
  PrepareOptions o = small_tree(root);
  prepare(o);
  o.output_base_path = root / "again";
  prepare(o);
  for (const char* name : {"train.json", "train_train.json", "train_val.json", "train_shuffle.json", "val.json"})
    CHECK(test::slurp(root / (std::string("out/") + name)) == test::slurp(root / (std::string("again/") + name)));
  o.seed = 1;
  o.output_base_path = root / "other";
  prepare(o);
  CHECK(test::slurp(root / "out/train.json") != test::slurp(root / "other/train.json"));
  CHECK(test::slurp(root / "out/val.json") == test::slurp(root / "other/val.json"));
  CHECK(test::slurp(root / "out/train.json") != test::slurp(root / "out/train_shuffle.json"));
}

TEST_CASE("prepare: files of an earlier prepare are kept unless overwrite is given") {
  test::ScratchFolder root;
  PrepareOptions o = small_tree(root);
  prepare(o);
  const std::string before = test::slurp(root / "out/train.json");
  put(root / "out/train_val_bboxes.json", "{}");
  put(root / "out/mine.txt", "kept");
  o.seed = 2;
  check_error(ErrorKind::usage, {"train.json", "exists already"}, [&] { prepare(o); });
  CHECK(test::slurp(root / "out/train.json") == before);
  o.overwrite = true;
  prepare(o);
  CHECK(test::slurp(root / "out/train.json") != before);
  CHECK_FALSE(std::filesystem::exists(root / "out/train_val_bboxes.json"));  // stale: belongs to the earlier split
  CHECK(test::slurp(root / "out/mine.txt") == "kept");
}

TEST_CASE("prepare: a bad annotation stops it before anything is written, and names the image") {
  test::ScratchFolder root;
  const PrepareOptions o = small_tree(root);
  const std::string image = root / "val/dog/val_dog1.png", file = root / "boxes/val_dog1.xml";
  const auto stops = [&](std::initializer_list<std::string> parts) {
    check_error(ErrorKind::data, parts, [&] { prepare(o); });
    CHECK(nothing_written(o));
  };
  put(file, xml("cat", 100, 50, {{1, 1, 2, 2}}));
  stops({image, file, "no object of class 'dog'"});
  put(file, xml("dog", 100, 50, {{1, 1, 2, 51}}));
  stops({image, "outside of the image"});
  put(file, xml("dog", 0, 0, {{0, 0, 0, 0}}));
  stops({image, "0x0"});
  put(file, "<annotation>");
  stops({image, "not valid XML"});
  std::filesystem::remove(file);
  stops({image, file, "No such file"});
}

TEST_CASE("prepare: extended annotations, wrong ones and none at all") {
  test::ScratchFolder root;
  PrepareOptions o = small_tree(root);
  o.extended_annot_base_path = root / "extended";
  std::filesystem::create_directories(root / "extended/cat");
  check_error(ErrorKind::data, {"no annotation of any training image"}, [&] { prepare(o); });
  put(root / "extended/cat/cat_3.xml", xml("cat", 100, 50, {{10, 10, 60, 40}}));
  o.image_size = 50;
  const PrepareResult result = prepare(o);
  CHECK(result.annotated == 1);
  CHECK(result.train_val == 1);
  CHECK(result.train_train == 11);
  const BoxTable boxes = BoxTable::read(root / "out/train_val_bboxes.json");
  CHECK(boxes.size() == 1);
  REQUIRE(boxes.find("cat_3"));
  CHECK(*boxes.find("cat_3") == std::vector<Box>{{-15, 10, 35, 40}});
  o.output_base_path = root / "broken";
  o.break_ratio = true;
  prepare(o);
  CHECK(*BoxTable::read(root / "broken/train_val_bboxes.json").find("cat_3") == std::vector<Box>{{5, 10, 30, 40}});

  put(root / "extended/cat/cat_3.xml", xml("dog", 100, 50, {{10, 10, 60, 40}}));
  o.output_base_path = root / "bad";
  check_error(ErrorKind::data, {"cat_3.png", "no object of class 'cat'"}, [&] { prepare(o); });
  CHECK(nothing_written(o));
}

TEST_CASE("prepare: folders and options that cannot work") {
  test::ScratchFolder root;
  const PrepareOptions good = small_tree(root);
  PrepareOptions o = good;
  o.train_path = root / "none";
  check_error(ErrorKind::data, {"none", "not a folder"}, [&] { prepare(o); });
  o = good;
  o.val_annotation_path = root / "none";
  check_error(ErrorKind::data, {"none", "not a folder"}, [&] { prepare(o); });
  o = good;
  o.train_path = root / "train/cat";
  check_error(ErrorKind::data, {"no class folders"}, [&] { prepare(o); });
  o = good;
  std::filesystem::create_directories(root / "hollow/cat");
  o.train_path = root / "hollow";
  check_error(ErrorKind::data, {"no images"}, [&] { prepare(o); });
  o = good;
  o.seed = -1;
  check_error(ErrorKind::usage, {"seed"}, [&] { prepare(o); });
  o = good;
  o.num_per_class_in_train_val = -1;
  check_error(ErrorKind::usage, {"num_per_class_in_train_val"}, [&] { prepare(o); });
  o = good;
  o.image_size = 0;
  check_error(ErrorKind::usage, {"image_size"}, [&] { prepare(o); });
  put(root / "val/emu/1.png", "");
  check_error(ErrorKind::data, {"emu", "training images do not have"}, [&] { prepare(good); });
  std::filesystem::remove_all(root / "val/emu");
  put(root / "val/dog/val_cat0.png", "");  // the key of an image of another class
  put(root / "boxes/val_cat0.xml",
      "<annotation><size><width>9</width><height>9</height></size>"
      "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object>"
      "<object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object>"
      "</annotation>");
  check_error(ErrorKind::data, {"same key 'val_cat0'"}, [&] { prepare(good); });
  CHECK(nothing_written(good));
}

TEST_CASE("prepare: validation may lack a class; labels stay those of training") {
  test::ScratchFolder root;
  PrepareOptions o = small_tree(root);
  std::filesystem::remove_all(root / "val/cat");
  prepare(o);
  const Metadata val = Metadata::read(root / "out/val.json");
  CHECK(val.classes() == std::vector<std::string>{"cat", "dog"});
  CHECK(val.size() == 2);
  CHECK(val.label(0) == 1);
}
