// The data-preparation tree of golden/preproc.json: every file that the reference writes for it, entry by entry.
#include <doctest/doctest.h>

#include <numeric>

#include "base/json.h"
#include "base/rng.h"
#include "data/boxes.h"
#include "data/prepare.h"
#include "tests/golden.h"
#include "tests/scratch.h"

using namespace pen;

namespace {

void check_metadata(const rapidjson::Value& expected, const std::string& root, const std::string& file, bool labels) {
  CAPTURE(file);
  const Metadata got = Metadata::read(file);
  const auto placed = [&](const rapidjson::Value& text) {
    std::string path = text.GetString();
    REQUIRE(path.starts_with("ROOT/"));
    return root + path.substr(4);
  };
  CHECK(got.root() == placed(expected["root"]));
  const auto samples = expected["samples"].GetArray();
  REQUIRE(samples.Size() > 0);
  REQUIRE(got.size() == static_cast<std::int64_t>(samples.Size()));
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const auto& sample = samples[static_cast<rapidjson::SizeType>(i)];
    CAPTURE(i);
    CHECK(got.path(i) == placed(sample[0]));
    if (labels)
      CHECK(got.label(i) == sample[1].GetInt64());
    else
      CHECK((got.label(i) >= 0 && got.label(i) < got.class_count()));
  }
  std::vector<std::string> classes;
  for (const auto& name : expected["classes"].GetArray()) classes.push_back(name.GetString());
  CHECK(got.classes() == classes);
}

void check_boxes(const rapidjson::Value& expected, const std::string& file) {
  CAPTURE(file);
  const BoxTable got = BoxTable::read(file);
  REQUIRE(expected.MemberCount() > 0);
  CHECK(got.size() == static_cast<std::int64_t>(expected.MemberCount()));
  for (const auto& member : expected.GetObject()) {
    const std::string key = member.name.GetString();
    CAPTURE(key);
    const std::vector<Box>* boxes = got.find(key);
    REQUIRE(boxes);
    std::vector<Box> wanted;
    for (const auto& b : member.value.GetArray())
      wanted.push_back({b["xmin"].GetInt64(), b["ymin"].GetInt64(), b["xmax"].GetInt64(), b["ymax"].GetInt64()});
    CHECK(*boxes == wanted);
  }
}

}  // namespace

TEST_CASE("golden preproc: prepare writes what the reference writes") {
  const rapidjson::Document golden = parse_json_file(test::golden_path("preproc.json"));
  // Dots in a folder's name cut the reference's keys; ours must not.
  test::ScratchFolder scratch;
  const std::string root = scratch / "tree.with.dots";
  for (const auto& file : golden["files"].GetObject())
    test::put(root + "/" + file.name.GetString(), file.value.GetString());

  for (const std::string variant : {"plain", "extended"}) {
    CAPTURE(variant);
    const rapidjson::Value& expected = golden["expected"][variant.c_str()];
    PrepareOptions options;
    options.train_path = root + "/train";
    options.val_path = root + "/val";
    options.val_annotation_path = root + "/annotation/val";
    options.output_base_path = scratch / variant;
    if (variant == "extended") options.extended_annot_base_path = root + "/extended";
    options.num_per_class_in_train_val = 4;
    options.seed = 1234;
    prepare(options);
    for (const auto& file : expected.GetObject()) {
      const std::string name = file.name.GetString();
      const std::string path = options.output_base_path + "/" + name;
      if (name.ends_with("bboxes.json"))
        check_boxes(file.value, path);
      else
        check_metadata(file.value, root, path, name != "train_shuffle.json");
    }
    // Beside them only what the page adds: both split files also without annotations.
    for (const char* extra : {"train_train.json", "train_val.json"})
      CHECK(std::filesystem::exists(options.output_base_path + "/" + extra));
    const auto files = std::distance(std::filesystem::directory_iterator(options.output_base_path), {});
    CHECK(files == static_cast<std::ptrdiff_t>(expected.MemberCount()) + (variant == "plain" ? 2 : 0));
  }
}

TEST_CASE("golden preproc: NumPy's legacy shuffle") {
  const rapidjson::Document golden = parse_json_file(test::golden_path("preproc.json"));
  Mt19937 rng(1234);
  REQUIRE(golden["numpy_random_state_1234"].Size() == 2);
  for (const auto& wanted : golden["numpy_random_state_1234"].GetArray()) {
    std::vector<std::int64_t> items(wanted.Size());
    std::iota(items.begin(), items.end(), 0);
    rng.shuffle(items);
    for (rapidjson::SizeType i = 0; i < wanted.Size(); ++i) CHECK(items[i] == wanted[i].GetInt64());
  }
}
