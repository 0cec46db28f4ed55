// The command `attribute`, and attribution methods as modes of `score`, on a few small pictures.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "data/image.h"
#include "data/transforms.h"
#include "eval/attribution/attributor.h"
#include "eval/networks.h"
#include "eval/npy.h"
#include "tests/program.h"
#include "tests/tiny_networks.h"

using namespace pen;
using test::contains, test::Ended, test::penumbra, test::slurp, test::TinyData;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

Ended attribute(const TinyData& data, Words more) {
  Words words = {"attribute", "--resnet_path", data.classifier, "--batch_size", "3", "--workers", "1"};
  words.insert(words.end(), more.begin(), more.end());
  return penumbra(words);
}

std::vector<std::string> files_below(const std::string& folder) {
  std::vector<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) out.push_back(entry.path().lexically_relative(folder).generic_string());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("attribute: one .npy for each image under its id, a picture beside it, and the maps of the method") {
  const TinyData data;
  const std::string out = data.folder / "maps";
  const Ended ended = attribute(
      data, {"--val_json", data.list, "--method", "grad_cam", "--layer", "layer2", "--json", "--output_path", out});
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  Words wanted{"attribution.json"};
  for (int i = 0; i < TinyData::images; ++i)
    for (const char* ending : {".npy", ".png"})
      wanted.push_back(std::string(i % 2 ? "right/v" : "left/v") + std::to_string(i) + ".png" + ending);
  std::sort(wanted.begin(), wanted.end());
  CHECK(files_below(out) == wanted);

  // The same by hand, one image at a time.
  const auto opened = eval::open_classifier(data.classifier, Device{});
  eval::Attributor attributor(eval::attribution_method("grad_cam"), {.layer = "layer2"}, {}, opened.network, 32);
  ImagePipeline pipeline;
  Rng unused;
  std::vector<float> image(32 * 32 * 3);
  const Metadata list = Metadata::read(data.list);
  bool some = false;
  for (std::int64_t i = 0; i < list.size(); ++i) {
    pipeline.load(list.path(i), Transform::score(32, false), unused, image.data());
    const std::vector<std::int64_t> label{list.label(i)};
    const eval::Maps want = attributor({1, 32, image, label, {}});
    const eval::NpyArray got =
        eval::read_npy(out + "/" + fs::path(list.path(i)).lexically_relative(data.folder / "val").string() + ".npy");
    CHECK(got.shape == std::vector<std::int64_t>{32, 32});
    const std::vector<float> values = got.floats();
    REQUIRE(values.size() == want.maps.size());
    for (std::size_t k = 0; k < values.size(); ++k) {
      some = some || values[k] != 0;
      CHECK(std::abs(values[k] - want.maps[k]) <= 1e-5f * (1 + std::abs(want.maps[k])));
    }
  }
  CHECK(some);
  CHECK(std::count(ended.out.begin(), ended.out.end(), '\n') == TinyData::images);
  const auto first = parse_json(ended.out.substr(0, ended.out.find('\n')), "stdout");
  CHECK(first["method"].GetString() == std::string("grad_cam"));
  CHECK(first["target"].GetInt64() == 0);
  const auto summary = parse_json(slurp(out + "/attribution.json"), "summary");
  CHECK(summary["images"].GetInt64() == TinyData::images);
  CHECK(summary["maps"].GetInt64() == TinyData::images);
  CHECK(summary["target"].GetString() == std::string("label"));
  CHECK(summary["methods"][0]["layer"].GetString() == std::string("layer2"));
  CHECK(data.classifier == summary["methods"][0]["classifier"].GetString());
}

TEST_CASE("attribute: fused or layer by layer, maps are the same up to rounding") {
  const TinyData data;
  const auto maps_of = [&](const std::string& method, const std::string& fuse) {
    const std::string out = data.folder / (method + "_" + fuse);
    const Ended ended = attribute(data, {"--val_json", data.list, "--method", method, "--fuse", fuse, "--pictures",
                                         "none", "--output_path", out});
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    std::vector<float> all;
    for (const std::string& file : files_below(out))
      if (file.ends_with(".npy"))
        for (const float v : eval::read_npy(out + "/" + file).floats()) all.push_back(v);
    return all;
  };
  for (const std::string method : {"input_x_gradient", "integrated_gradients", "guided_backprop"}) {
    CAPTURE(method);
    const auto fused = maps_of(method, "true"), plain = maps_of(method, "false");
    REQUIRE(fused.size() == plain.size());
    double off = 0, all = 0;
    for (std::size_t i = 0; i < plain.size(); ++i) {
      off += (fused[i] - plain[i]) * (fused[i] - plain[i]);
      all += plain[i] * plain[i];
    }
    CHECK(all > 0);
    // A ReLU at its edge may fall on the other side. Guided backprop runs on the network itself either way.
    CHECK(std::sqrt(off / all) <= (method == "guided_backprop" ? 0 : 2e-2));
  }
}

TEST_CASE("attribute: several methods get a folder each; a masker is one of them; files keep their bytes") {
  const TinyData data;
  const auto run = [&](const std::string& name, const Words& more) {
    Words words = {data.folder / "val", "--method",  "torchray_guided_backprop,casme,random",
                   "--casm_path",       data.masker, "--output_path",
                   data.folder / name};
    words.insert(words.end(), more.begin(), more.end());
    const Ended ended = attribute(data, words);
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    return files_below(data.folder / name);
  };
  const auto files = run("a", {"--pictures", "overlay", "--color_map", "jet", "--normalize", "unit"});
  CHECK(files.size() == 1 + 3 * 2 * TinyData::images);
  for (const char* method : {"guided_backprop", "casme", "random"})
    CHECK(std::count(files.begin(), files.end(), std::string(method) + "/left/v2.png.npy") == 1);
  const Image overlay = read_image(data.folder / "a/casme/left/v2.png.png");
  CHECK((overlay.width == 224 && overlay.height == 224));

  const auto plain = run("b", {"--pictures", "none"});
  CHECK(plain.size() == 1 + 3 * TinyData::images);
  for (const std::string& file : plain)
    if (file.ends_with(".npy")) CHECK(slurp(data.folder / ("a/" + file)) == slurp(data.folder / ("b/" + file)));
  const std::string npy = "random/left/v2.png.npy";
  run("c", {"--pictures", "none", "--seed", "1"});
  CHECK(slurp(data.folder / ("c/" + npy)) != slurp(data.folder / ("b/" + npy)));
}

TEST_CASE("attribute: what is there is kept unless --overwrite is given; --limit; files without a folder") {
  const TinyData data;
  const Words words = {data.folder / "val/left/v0.png", "--method", "sobel", "--output_path", data.folder / "out"};
  REQUIRE(attribute(data, words).code == 0);
  CHECK(files_below(data.folder / "out") == Words{"attribution.json", "v0.png.npy", "v0.png.png"});
  const Ended again = attribute(data, words);
  CHECK(again.code == 2);
  CHECK(contains(again.err, "--overwrite"));
  Words forced = words;
  forced.push_back("--overwrite");
  CHECK(attribute(data, forced).code == 0);
  REQUIRE(attribute(data, {"--val_json", data.list, "--root", data.folder / "", "--method", "center", "--limit", "2",
                           "--pictures", "none", "--output_path", data.folder / "two"})
              .code == 0);
  CHECK(files_below(data.folder / "two") == Words{"attribution.json", "val/left/v0.png.npy", "val/right/v1.png.npy"});
}

TEST_CASE("attribute: the target is the label, the predicted class or a number") {
  const TinyData data;
  const auto targets = [&](const Words& more, const std::string& name) {
    Words words = {"--method", "gradient", "--json", "--pictures", "none", "--output_path", data.folder / name};
    words.insert(words.end(), more.begin(), more.end());
    const Ended ended = attribute(data, words);
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    std::vector<std::int64_t> out;
    for (std::size_t at = 0; at < ended.out.size(); at = ended.out.find('\n', at) + 1) {
      const auto line = parse_json(ended.out.substr(at, ended.out.find('\n', at) - at), "line");
      out.push_back(line["target"].GetInt64() - (more.back() == "top1" ? line["predicted"].GetInt64() : 0));
    }
    return out;
  };
  CHECK(targets({"--val_json", data.list}, "label") == std::vector<std::int64_t>{0, 1, 0, 1, 0, 1, 0});
  CHECK(targets({"--val_json", data.list, "--target", "1"}, "one") == std::vector<std::int64_t>(7, 1));
  CHECK(targets({data.folder / "val", "--target", "top1"}, "top1") == std::vector<std::int64_t>(7, 0));
}

TEST_CASE("attribute: layers and methods are listed") {
  const TinyData data;
  const Ended layers = attribute(data, {"--list_layers"});
  CHECK(layers.code == 0);
  CHECK(contains(layers.out, "| layer2.0.conv1"));
  CHECK(contains(layers.out, "| layer4 "));
  CHECK(!contains(layers.out, "| fc"));
  const Ended methods = penumbra({"attribute", "--list-methods"});
  CHECK(methods.code == 0);
  for (const std::string& name : eval::attribution_names())
    CHECK(contains("\n" + methods.out, "\n" + name + "\n  map "));
}

TEST_CASE("attribute: what cannot be run is refused before any file is written") {
  const TinyData data;
  const auto refused = [&](Words more, int code, const std::string& message, const std::string& hint = {}) {
    const std::string out = data.folder / "no";
    more.insert(more.end(), {"--output_path", out});
    const Ended ended = attribute(data, more);
    CHECK_MESSAGE(ended.code == code, ended.err);
    CHECK_MESSAGE(contains(ended.err, message), ended.err);
    CHECK_MESSAGE(contains(ended.err, hint), ended.err);
    CHECK(!fs::exists(out));
  };
  const std::string val = data.folder / "val";
  refused({val, "--method", "grad_kam"}, 2, "there is no attribution method 'grad_kam'", "did you mean grad_cam?");
  refused({val, "--method", "casmee"}, 2, "there is no attribution method 'casmee'", "did you mean casme?");
  refused({val, "--method", "gradient,gradient"}, 2, "named twice");
  refused({val, "--method", "grad_cam", "--layer", "layer22"}, 2, "there is no layer 'layer22'",
          "nearest layers: layer2, ");
  refused({val, "--method", "grad_cam", "--layer", "fc"}, 2, "no feature maps come out of layer 'fc'");
  refused({val, "--method", "grad_cam", "--target", "2"}, 2, "class 2 cannot be explained", "");
  refused({val, "--method", "grad_cam", "--target", "label"}, 2, "come without labels");
  refused({val, "--method", "grad_cam", "--samples", "3"}, 2, "--samples has no effect: not read by grad_cam");
  refused({val, "--method", "occlusion", "--window", "40"}, 2, "a window of 40 pixels on images of 32");
  refused({val, "--method", "casme"}, 2, "needs --casm_path");
  refused({"--method", "gradient"}, 2, "nothing to explain");
  refused({val, "--val_json", data.list, "--method", "gradient"}, 2, "use one of them");
  refused({val}, 2, "--method is missing");
  refused({data.folder / "nowhere.png", "--root", data.folder / "val", "--method", "gradient"}, 3,
          "does not lie below");
  refused({data.folder / "val/left/v0.png", data.folder / "val/left/v0.png", "--method", "gradient"}, 3,
          "would both be filed as 'v0.png'", "--root");
}

TEST_CASE("attribute: a file that is no image is reported and left out") {
  const TinyData data;
  std::ofstream(data.folder / "val/left/broken.png") << "no picture";
  const Ended ended =
      attribute(data, {data.folder / "val", "--method", "gradient", "--output_path", data.folder / "out"});
  CHECK(ended.code == 3);
  CHECK(contains(ended.err, "broken.png"));
  CHECK(contains(ended.err, "1 of 8 images could not be read"));
  CHECK(files_below(data.folder / "out").size() == 1 + 2 * TinyData::images);
}

TEST_CASE("score: attribution methods are modes, under the reference's names too") {
  const TinyData data;
  const auto score = [&](const std::string& mode, Words more, const std::string& name) {
    Words words = {"score",    "--mode",      mode, "--val_json",    data.list,          "--bboxes_path",
                   data.boxes, "--bootstrap", "0",  "--output_path", data.folder / name, "--batch_size",
                   "3",        "--workers",   "1"};
    words.insert(words.end(), more.begin(), more.end());
    return penumbra(words);
  };
  const Words plain = {"--resnet_path", data.classifier};
  const Ended ended = score("torchray_grad_cam", {"--resnet_path", data.classifier, "--layer", "layer2"}, "a.json");
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  REQUIRE(score("grad_cam", {"--resnet_path", data.classifier, "--layer", "layer2"}, "b.json").code == 0);
  CHECK(slurp(data.folder / "a.json") == slurp(data.folder / "b.json"));
  const auto details = parse_json(slurp(data.folder / "b.details.json"), "details");
  CHECK(details["run"]["layer"].GetString() == std::string("layer2"));
  CHECK(details["run"]["target"].GetString() == std::string("label"));
  CHECK(data.classifier == details["run"]["classifier"].GetString());
  // avg_mask is that of the maps scaled to [0, 1].
  REQUIRE(attribute(data, {"--val_json", data.list, "--method", "grad_cam", "--layer", "layer2", "--pictures", "none",
                           "--output_path", data.folder / "raw"})
              .code == 0);
  double sum = 0;
  for (const std::string& file : files_below(data.folder / "raw")) {
    if (!file.ends_with(".npy")) continue;
    std::vector<float> map = eval::read_npy(data.folder / ("raw/" + file)).floats();
    eval::stretch_to_unit(map, 1);
    for (const float v : map) sum += static_cast<double>(v) / (32 * 32 * TinyData::images);
  }
  CHECK(sum > 0);
  CHECK(parse_json(slurp(data.folder / "b.json"), "totals")["avg_mask"].GetDouble() ==
        doctest::Approx(sum).epsilon(1e-4));
  REQUIRE(score("grad_cam", {"--resnet_path", data.classifier, "--layer", "layer1"}, "c.json").code == 0);
  CHECK(slurp(data.folder / "c.json") != slurp(data.folder / "b.json"));

  // A checkpoint's own classifier is explained; the original one judges the crops.
  REQUIRE(score("gradient", {"--casm_path", data.masker, "--resnet_path", data.classifier}, "own.json").code == 0);
  const auto own = parse_json(slurp(data.folder / "own.details.json"), "details");
  CHECK(data.masker == own["run"]["classifier"].GetString());
  CHECK(data.classifier == own["run"]["judge"].GetString());

  const auto refused = [&](const std::string& mode, const Words& more, const std::string& message) {
    const Ended e = score(mode, more, "no.json");
    CHECK_MESSAGE(e.code == 2, e.err);
    CHECK_MESSAGE(contains(e.err, message), e.err);
    CHECK(!fs::exists(data.folder / "no.json"));
  };
  refused("gradcam", plain, "did you mean grad_cam?");
  refused("grad_cam", {}, "needs the classifier that it explains");
  refused("grad_cam", {"--resnet_path", data.classifier, "--layer", "layr2"}, "nearest layers: layer2");
  refused("gradient", {"--resnet_path", data.classifier, "--layer", "layer2"}, "--layer has no effect");
  refused("max", {"--resnet_path", data.classifier, "--target", "1"}, "--target has no effect");
}

TEST_CASE("explain: --method gives a grid of methods x images and the raw maps; the masker is one of them") {
  const TinyData data;
  const auto explain = [&](const Words& more, const std::string& name) {
    Words words = {"explain", data.folder / "val", "--output_path", data.folder / name};
    words.insert(words.end(), more.begin(), more.end());
    return penumbra(words);
  };
  const Words both = {"--method", "casme,grad-cam", "--layer", "layer2", "--casm_path", data.masker, "--json"};
  const Ended ended = explain(both, "grid");
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  Words wanted{"attribution.json", "grid.png"};
  for (int i = 0; i < TinyData::images; ++i)
    for (const char* method : {"casme/", "grad_cam/"})
      wanted.push_back(method + std::string(i % 2 ? "right/v" : "left/v") + std::to_string(i) + ".png.npy");
  std::sort(wanted.begin(), wanted.end());
  CHECK(files_below(data.folder / "grid") == wanted);
  CHECK(std::count(ended.out.begin(), ended.out.end(), '\n') == 2 * TinyData::images);
  // Three columns of 96 pixels, seven rows; the first row starts with the image itself.
  const Image grid = read_image(data.folder / "grid/grid.png");
  CHECK(grid.width > 3 * 96);
  CHECK(grid.height > 7 * 96);
  // The masker's maps are those of explain without --method.
  const Words alone = {"--casm_path", data.masker};
  REQUIRE(explain(alone, "panels").code == 0);
  CHECK(slurp(data.folder / "panels/v3.npy") == slurp(data.folder / "grid/casme/right/v3.png.npy"));

  const auto refused = [&](const Words& more, const std::string& message) {
    const Ended e = explain(more, "no");
    CHECK_MESSAGE(e.code == 2, e.err);
    CHECK_MESSAGE(contains(e.err, message), e.err);
    CHECK(!fs::exists(data.folder / "no"));
  };
  refused({}, "--casm_path is missing");
  refused({"--casm_path", data.masker, "--layer", "layer2"}, "--layer has no effect");
  refused({"--method", "grad_cam,rize", "--casm_path", data.masker}, "did you mean rise?");
  refused({"--method", "casme,grad_cam", "--resnet_path", data.classifier}, "needs --casm_path");
  refused({"--method", "grad_cam"}, "no classifier to explain");
  refused({"--method", "grad_cam", "--casm_path", data.masker, "--class_id", "1"}, "--class_id has no effect");
  refused({"--method", "grad_cam", "--casm_path", data.masker, "--target", "9"}, "class 9 cannot be explained");
}

TEST_CASE("explain: a grid of more than twelve images has pages") {
  const TinyData data;
  fs::create_directories(data.folder / "twice");
  for (const char* copy : {"twice/a", "twice/b"})
    fs::copy(data.folder / "val", data.folder / copy, fs::copy_options::recursive);
  const Ended ended = penumbra({"explain", data.folder / "twice", "--method", "center", "--resnet_path",
                                data.classifier, "--output_path", data.folder / "grid", "--batch_size", "5"});
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  const Image first = read_image(data.folder / "grid/grid.png"), second = read_image(data.folder / "grid/grid_2.png");
  CHECK(first.width == second.width);
  CHECK((first.height - second.height) % 10 == 0);  // twelve rows and two
  CHECK(first.height - second.height > 10 * 96);
  CHECK(!fs::exists(data.folder / "grid/grid_3.png"));
}
