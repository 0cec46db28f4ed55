// The commands `explain` and `report` on a few small pictures and networks with random weights.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <sstream>

#include "base/json.h"
#include "data/image.h"
#include "data/transforms.h"
#include "eval/networks.h"
#include "eval/npy.h"
#include "eval/options.h"
#include "eval/results_table.h"
#include "tests/program.h"
#include "tests/tiny_networks.h"

using namespace pen;
using test::contains, test::Ended, test::penumbra, test::slurp, test::TinyData;
namespace fs = std::filesystem;

namespace {

Ended explain(const TinyData& data, std::vector<std::string> more, const std::string& tail = {}) {
  std::vector<std::string> words = {"explain", "--casm_path", data.masker, "--output_path", data.folder / "out"};
  words.insert(words.end(), more.begin(), more.end());
  return penumbra(words, tail);
}

std::vector<rapidjson::Document> lines_of(const std::string& text) {
  std::vector<rapidjson::Document> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(parse_json(line, "stdout"));
  return out;
}

std::vector<float> input_of(const std::string& path) {
  std::vector<float> image(32 * 32 * 3);
  Rng unused;
  ImagePipeline().load(path, Transform::score(32, false), unused, image.data());
  return image;
}

}  // namespace

TEST_CASE("explain: panel, map and JSON of one image; the map is the masker's mask, the classes are the classifier's") {
  const TinyData data;
  const std::string image = data.folder / "val/right/v1.png";
  const Ended ended = explain(data, {image});
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  CHECK(contains(ended.out, image));
  for (const char* word : {"before", "masked in", "masked out", "left 0.", "right 0."})
    CHECK(contains(ended.out, word));

  const eval::MaskMaker maker(data.masker, {}, {}, {}, Device{});
  const std::vector<float> input = input_of(image);
  const eval::Maps maps = maker(input, 1, 32, {});
  const eval::NpyArray map = eval::read_npy(data.folder / "out/v1.npy");
  CHECK(map.shape == std::vector<std::int64_t>{32, 32});
  REQUIRE(map.floats().size() == maps.maps.size());
  double worst = 0, spread = 0;
  for (std::size_t i = 0; i < maps.maps.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(map.floats()[i]) - static_cast<double>(maps.maps[i])));
    spread = std::max(spread, std::abs(static_cast<double>(maps.maps[i]) - static_cast<double>(maps.maps[0])));
  }
  CHECK(worst < 1e-6);
  CHECK(spread > 1e-3);

  const auto json = parse_json(slurp(data.folder / "out/v1.json"), "v1.json");
  std::vector<float> kept = input, removed = input;
  for (std::size_t i = 0; i < input.size(); ++i) {
    kept[i] *= maps.maps[i / 3];
    removed[i] *= 1 - maps.maps[i / 3];
  }
  const auto check = [&](const char* name, const std::vector<float>& logits) {
    INFO(name);
    REQUIRE(json[name].Size() == 2);  // there are no five classes
    const double left = 1 / (1 + std::exp(static_cast<double>(logits[1]) - static_cast<double>(logits[0])));
    CHECK(json[name][0]["probability"].GetDouble() == doctest::Approx(std::max(left, 1 - left)).epsilon(1e-5));
    CHECK(std::string(json[name][0]["name"].GetString()) == (left > 0.5 ? "left" : "right"));
    CHECK(json[name][0]["class"].GetInt() == (left > 0.5 ? 0 : 1));
  };
  check("before", maps.logits);
  check("masked_in", eval::logits_of(*maker.classifier().network, kept, 1, 32));
  check("masked_out", eval::logits_of(*maker.classifier().network, removed, 1, 32));
  const Image panel = read_image(data.folder / "out/v1.png"), sheet = read_image(data.folder / "out/panels.png");
  CHECK(panel.width > 6 * 200);
  CHECK(panel.rgb == sheet.rgb);
}

TEST_CASE("explain: folders, lists, names that collide, and the order of it all") {
  const TinyData data;
  fs::create_directories(data.folder / "more/deep");
  fs::copy_file(data.folder / "val/left/v0.png", data.folder / "more/V0.png");
  fs::copy_file(data.folder / "val/left/v0.png", data.folder / "more/deep/panels.png");
  test::put(data.folder / "more/notes.txt", "not an image");
  test::put(data.folder / "list", data.folder / "val/right/v3.png" + "\n\n");
  const Ended ended =
      explain(data, {data.folder / "val/left", data.folder / "more", "-", "--json", "--batch_size", "2"},
              "<" + data.folder / "list");
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  const auto lines = lines_of(ended.out);
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"val/left/v0.png", "v0"}, {"val/left/v2.png", "v2"}, {"val/left/v4.png", "v4"},
      {"val/left/v6.png", "v6"}, {"more/V0.png", "V0_2"},   {"more/deep/panels.png", "panels_2"},
      {"val/right/v3.png", "v3"}};
  REQUIRE(lines.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(lines[i]["image"].GetString() == data.folder / expected[i].first);
    for (const std::string ending : {".png", ".npy", ".json"})
      CHECK_MESSAGE(fs::exists(data.folder / ("out/" + expected[i].second + ending)), expected[i].second << ending);
  }
  CHECK(slurp(data.folder / "out/v0.npy") == slurp(data.folder / "out/V0_2.npy"));
  CHECK(slurp(data.folder / "out/v0.npy") != slurp(data.folder / "out/v2.npy"));

  const Ended limited = explain(data, {data.folder / "val", "--limit", "3", "--json"});
  CHECK(lines_of(limited.out).size() == 3);
}

TEST_CASE("explain: a bad file is reported, the rest goes on, and the exit code is 3") {
  const TinyData data;
  test::put(data.folder / "bad.jpg", "no image");
  fs::create_directories(data.folder / "empty");
  const Ended ended = explain(data, {data.folder / "bad.jpg", data.folder / "val/left/v0.png",
                                     data.folder / "absent.png", data.folder / "empty", "--json"});
  CHECK(ended.code == 3);
  CHECK(lines_of(ended.out).size() == 1);
  for (const char* part : {"bad.jpg", "absent.png", "empty", "3 of 4 images could not be read"})
    CHECK_MESSAGE(contains(ended.err, part), part);
  CHECK(fs::exists(data.folder / "out/v0.png"));
  CHECK_FALSE(fs::exists(data.folder / "out/bad.png"));
}

TEST_CASE("explain: refusals") {
  const TinyData data;
  const std::string image = data.folder / "val/left/v0.png";
  const auto refused = [&](int code, const std::string& part, const std::vector<std::string>& words) {
    const Ended ended = penumbra(words);
    CAPTURE(ended.err);
    CHECK(ended.code == code);
    CHECK(contains(ended.err, part));
    CHECK_FALSE(fs::exists(data.folder / "o"));
  };
  const auto words = [&](const std::string& checkpoint, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"explain", image, "--casm_path", checkpoint, "--output_path", data.folder / "o"});
    return more;
  };
  refused(4, "holds no masker", words(data.classifier));
  refused(4, "absent.chk", words(data.folder / "absent.chk"));
  refused(2, "--class_id has no effect", words(data.masker, {"--class_id", "1"}));
  refused(2, "--use_p has no effect", words(data.masker, {"--use_p", "0.5"}));
  refused(3, "standard input is empty",
          {"explain", "-", "--casm_path", data.masker, "--output_path", data.folder / "o"});
  test::write_tiny(data.folder / "ids.chk", {.class_ids = true});
  refused(2, "--class_id: 2 is not among the 2", words(data.folder / "ids.chk", {"--class_id", "2"}));
}

TEST_CASE("explain: a masker that is told the class takes the given one, or the predicted one") {
  const TinyData data;
  test::write_tiny(data.folder / "ids.chk", {.class_ids = true});
  const std::string image = data.folder / "val/left/v0.png";
  const auto map = [&](std::vector<std::string> more, const std::string& name) {
    more.insert(more.begin(), {"explain", image, "--casm_path", data.folder / "ids.chk", "--output_path",
                               data.folder / name, "--json"});
    const Ended ended = penumbra(more);
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    return std::make_pair(slurp(data.folder / (name + "/v0.npy")),
                          parse_json(ended.out, "stdout")["before"][0]["class"].GetInt());
  };
  const auto predicted = map({}, "p"), zero = map({"--class_id", "0"}, "0"), one = map({"--class_id", "1"}, "1");
  CHECK(zero.first != one.first);
  CHECK(predicted.first == (predicted.second == 0 ? zero.first : one.first));
}

TEST_CASE("report: a row for each result, with intervals and IoU where they were measured") {
  const TinyData data;
  const auto score = [&](const std::string& mode, std::vector<std::string> more) {
    more.insert(more.begin(),
                {"score", "--mode", mode, "--val_json", data.list, "--bboxes_path", data.boxes, "--resnet_path",
                 data.classifier, "--output_path", data.folder / ("s/" + mode + ".json")});
    REQUIRE(penumbra(more).code == 0);
  };
  score("max", {"--bootstrap", "0"});
  score("center", {"--masks_path", data.folder / "masks", "--protocol", "strict"});
  test::put(data.folder / "s/other.json", "{}");  // not a result, and passed over in a folder
  const Ended ended = penumbra({"report", data.folder / "s", "--output", data.folder / "t/table.md"});
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  CHECK(ended.out == slurp(data.folder / "t/table.md"));
  std::istringstream text(ended.out);
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].starts_with("| name "));
  CHECK(lines[2].starts_with("| center "));
  CHECK(contains(lines[2], " strict |"));
  CHECK(contains(lines[2], "["));
  CHECK(lines[3].starts_with("| max "));
  CHECK_FALSE(contains(lines[3], "["));
  const auto totals = parse_json(slurp(data.folder / "s/center.json"), "center.json");
  CHECK(contains(lines[2], " " + eval::fixed(totals["F1"].GetDouble()) + " ["));

  CHECK(penumbra({"report", data.folder / "s/max.json", "--output", data.folder / "t.csv"}).code == 0);
  CHECK(slurp(data.folder / "t.csv").starts_with("name,LE,OM,F1,SM,avg_mask,mask IoU,protocol,images\nmax,"));
  CHECK(penumbra({"report", data.folder / "s/other.json"}).code == 3);
  CHECK(penumbra({"report", data.folder / "val"}).code == 3);
  CHECK(penumbra({"report", data.folder / "absent"}).code == 3);
  CHECK(penumbra({"report", data.folder / "s", "--output", "t.txt"}).code == 2);
}

TEST_CASE("explain with an infiller: more columns, and what the classifier says of the infilled images") {
  const TinyData data;
  const std::string image = data.folder / "val/right/v1.png";
  const Ended plain = explain(data, {image});
  REQUIRE(plain.code == 0);
  const Ended both = penumbra({"explain", "--casm_path", data.masker, "--output_path", data.folder / "both", image,
                               "--infiller_model", "telea", "--json"});
  REQUIRE_MESSAGE(both.code == 0, both.err);
  const auto lines = lines_of(both.out);
  REQUIRE(lines.size() == 1);
  for (const char* key : {"infilled_in", "infilled_out"}) {
    REQUIRE(lines[0].HasMember(key));
    CHECK(lines[0][key].Size() == 2);
  }
  const Image wide = read_image(data.folder / "both/v1.png"), narrow = read_image(data.folder / "out/v1.png");
  CHECK(wide.width > narrow.width + 400);  // two more pictures
  const Ended one = penumbra({"explain", "--casm_path", data.masker, "--output_path", data.folder / "one", image,
                              "--infiller_model", "blur", "--do_infill_for_mask_out"});
  REQUIRE_MESSAGE(one.code == 0, one.err);
  CHECK(contains(one.out, "infilled out"));
  CHECK_FALSE(contains(one.out, "infilled in"));
  CHECK(read_image(data.folder / "one/v1.png").width < wide.width);
  const Ended missing = penumbra(
      {"explain", "--casm_path", data.masker, "--output_path", data.folder / "no", image, "--infiller_model", "pconv"});
  CHECK(missing.code == 2);
  CHECK(contains(missing.err, "pconv needs its weights"));
}
