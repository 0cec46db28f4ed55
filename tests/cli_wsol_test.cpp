// The command `wsol`: wsolevaluation's layout, our own data, files of results, refusals.
#include <doctest/doctest.h>

#include <cmath>

#include "base/json.h"
#include "eval/map_source.h"
#include "eval/npy.h"
#include "eval/wsol/run.h"
#include "tests/program.h"
#include "tests/tiny_networks.h"

using namespace pen;
using test::contains, test::Ended, test::penumbra, test::put, test::ScratchFolder, test::slurp;

namespace {

rapidjson::Document json_of(const std::string& path) { return parse_json(slurp(path), path); }

// Three images of 60x40 with boxes (CUB) and the masks of two (OpenImages), and maps of 8x8 for them.
struct Layout {
  ScratchFolder folder;
  std::string meta = folder / "metadata", data = folder / "dataset", maps = folder / "maps";
  std::string cub = meta + "/CUB/test/", open = meta + "/OpenImages/test/";

  Layout() {
    put(cub + "image_ids.txt", "a/x.jpg\nb/y.jpg\nb/z.jpg\n");
    put(cub + "class_labels.txt", "b/y.jpg,1\na/x.jpg,0\nb/z.jpg,1\nnot/listed.jpg,5\n");
    put(cub + "image_sizes.txt", "a/x.jpg,60,40\nb/y.jpg,60,40\r\nb/z.jpg,60,40\n");
    put(cub + "localization.txt", "a/x.jpg,0,0,29,19\nb/y.jpg,30,20,59,39\nb/y.jpg,0,0,9,9\nb/z.jpg,0,0,59,39");
    for (const std::string id : {"a/x.jpg", "b/y.jpg", "b/z.jpg"}) map(id, 0.0);
    put(open + "image_ids.txt", "o/p.jpg\no/q.jpg\n");
    put(open + "class_labels.txt", "o/p.jpg,0\no/q.jpg,0\n");
    put(open + "localization.txt", "o/p.jpg,o/p_1.png,o/p_ignore.png\no/p.jpg,o/p_2.png,\no/q.jpg,o/q_1.png,\n");
    for (const std::string id : {"o/p.jpg", "o/q.jpg"}) map(id, 0.0);
    std::filesystem::create_directories(data + "/OpenImages/o");
    mask("o/p_1.png", 0, 2);
    mask("o/p_2.png", 1, 3);
    mask("o/p_ignore.png", 2, 5);  // one column is the object's too
    mask("o/q_1.png", 6, 8);
  }
  // A map that is `value`, but 1 in its upper left quarter.
  void map(const std::string& id, double value) const {
    std::vector<float> m(64, static_cast<float>(value));
    for (std::size_t i = 0; i < 64; ++i)
      if (i % 8 < 4 && i / 8 < 4) m[i] = 1;
    write(id, {8, 8}, m);
  }
  void write(const std::string& id, const std::vector<std::int64_t>& shape, const std::vector<float>& m) const {
    const std::string file = maps + "/" + id + ".npy";
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    eval::write_npy(file, shape, m);
  }
  // 24x24 (three times the map), 255 in columns [from, to) of the map.
  void mask(const std::string& name, int from, int to) const {
    std::vector<std::uint8_t> m(24 * 24);
    for (int i = 0; i < 24 * 24; ++i) m[static_cast<std::size_t>(i)] = i % 24 / 3 >= from && i % 24 / 3 < to ? 255 : 0;
    write_png(data + "/OpenImages/" + name, 24, 24, 1, m);
  }
  Ended run(const std::string& dataset, std::vector<std::string> more) const {
    std::vector<std::string> words{"wsol", "--dataset",    dataset, "--metadata_path", meta,  "--dataset_path",
                                   data,   "--input_size", "8",     "--progress",      "none"};
    words.insert(words.end(), more.begin(), more.end());
    return penumbra(words);
  }
  void refused(int code, const std::vector<std::string>& parts, const std::string& dataset = "CUB",
               std::vector<std::string> more = {}) const {
    if (more.empty()) more = {"--maps", maps};
    more.insert(more.end(), {"--output_base_path", folder / "refused.json"});
    const Ended ended = run(dataset, more);
    CAPTURE(ended.err);
    CHECK(ended.code == code);
    for (const std::string& part : parts) CHECK_MESSAGE(contains(ended.err, part), part);
    CHECK_FALSE(std::filesystem::exists(folder / "refused.json"));
  }
};

}  // namespace

TEST_CASE("wsol: boxes in wsolevaluation's layout") {
  const Layout l;
  // The map's box is (0, 0, 4, 4): IoU 16/25 with a's (0, 0, 3, 2) [12 of 25], b/z's whole frame (0, 0, 7, 7): 25/64.
  Ended ended = l.run("CUB", {"--maps", l.maps, "--output_base_path", l.folder / "out"});
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  const std::string base = l.folder / "out/CUB___test___v1";
  const auto result = json_of(base + ".json");
  CHECK(result["metric"] == "MaxBoxAcc");
  CHECK(result["protocol"] == "paper");
  CHECK(result["images"].GetInt64() == 3);
  // a: truth (0, 0, 3, 3): 16/25. b/y: (4, 4, 7, 7): 1/40, (0, 0, 1, 1): 4/25. b/z: 25/64.
  CHECK(result["performance"].GetDouble() == doctest::Approx(100.0 / 3));
  CHECK(result["MaxBoxAccV2"]["performance"].GetDouble() == doctest::Approx((200.0 / 3 + 100.0 / 3 + 0) / 3));
  CHECK(result["MaxBoxAcc"]["low"].GetDouble() <= result["performance"].GetDouble());
  const std::string images = slurp(base + ".images.csv");
  CHECK(contains(images, "image,MaxBoxAcc,MaxBoxAccV2,IoU,best_IoU,protocol\n"));
  CHECK(contains(images, "a/x.jpg,100,66.66666666666667,0.64,0.64,paper\n"));
  CHECK(contains(images, "b/y.jpg,0,0.0,0.16,0.16,paper\n"));
  CHECK(contains(slurp(base + ".thresholds.csv"), "0.99,33.3333"));
  CHECK(contains(slurp(base + ".thresholds.svg"), "paper protocol"));
  CHECK(contains(ended.out, "| MaxBoxAccV2"));

  // To a file, with the other metric; what is there is not overwritten.
  const std::vector<std::string> words{"--maps", l.maps, "--box_v2_metric", "--output_base_path", l.folder / "v2.json"};
  REQUIRE(l.run("CUB", words).code == 0);
  CHECK(json_of(l.folder / "v2.json")["metric"] == "MaxBoxAccV2");
  ended = l.run("CUB", words);
  CHECK(ended.code == 2);
  CHECK(contains(ended.err, "--overwrite"));
  auto again = words;
  again.push_back("--overwrite");
  CHECK(l.run("CUB", again).code == 0);
}

TEST_CASE("wsol: masks in wsolevaluation's layout; where object and ignored region overlap, the object wins") {
  const Layout l;
  const Ended ended = l.run("OpenImages", {"--maps", l.maps, "--output_base_path", l.folder / "out.json", "--json"});
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  const auto result = parse_json(ended.out, "stdout");
  // p: object columns 0-2, ignored 3-4; q: object columns 6-7. The maps are 1 in 4x4, 0 elsewhere.
  const double found = 12, called = 12 + 16, objects = 24 + 16, all = 48 + 64;
  CHECK(result["metric"] == "PxAP");
  CHECK(result["performance"].GetDouble() ==
        doctest::Approx(100 * (found / called * found / objects + objects / all * (1 - found / objects))));
  const std::string images = slurp(l.folder / "out.images.csv");
  CHECK(contains(images, "o/p.jpg,"));
  CHECK(contains(images, ",24,24,paper\n"));
  CHECK(contains(images, ",16,48,paper\n"));
  CHECK(contains(slurp(l.folder / "out.precision_recall.csv"), "threshold,precision,recall,protocol\n"));
  CHECK(contains(slurp(l.folder / "out.precision_recall.svg"), "<svg"));
  // That is told and counted: one column of p's 8x8 truth.
  CHECK(result["PxAP"]["contested_images"].GetInt64() == 1);
  CHECK(result["PxAP"]["contested_pixels"].GetInt64() == 8);
  CHECK(contains(ended.err, "8 pixels are annotated as object and as ignored"));
  CHECK(contains(ended.err, "'o/p.jpg'"));

  // The same in the strict protocol, and from evaluate.
  const Ended strict = l.run("OpenImages", {"--maps", l.maps, "--output_base_path", l.folder / "strict.json",
                                            "--protocol", "strict", "--json"});
  CHECK(contains(strict.err, "8 pixels are annotated as object and as ignored"));
  CHECK(parse_json(strict.out, "stdout")["performance"].GetDouble() == result["performance"].GetDouble());
  const Ended judged =
      penumbra({"evaluate", "--maps", l.maps, "--metrics", "PxAP", "--dataset", "OpenImages", "--metadata_path", l.meta,
                "--dataset_path", l.data, "--input_size", "8", "--output_path", l.folder / "judged"});
  CHECK_MESSAGE(judged.code == 0, judged.err);
  CHECK(contains(judged.err, "8 pixels are annotated as object and as ignored"));

  // Without an overlap there is nothing to tell.
  l.mask("o/p_ignore.png", 3, 5);
  const Ended clean = l.run("OpenImages", {"--maps", l.maps, "--output_base_path", l.folder / "clean.json", "--json"});
  CHECK(clean.code == 0);
  CHECK_FALSE(contains(clean.err, "annotated"));
  CHECK(parse_json(clean.out, "stdout")["PxAP"]["contested_pixels"].GetInt64() == 0);
}

TEST_CASE("wsol: controls") {
  const Layout l;
  for (const std::string name : {"zeros", "ones", "center", "gaussian"}) {
    CAPTURE(name);
    const std::string file = l.folder / (name + ".json");
    REQUIRE(l.run("CUB", {"--cam_loader", name, "--output_base_path", file}).code == 0);
    CHECK(json_of(file)["method"].GetString() == name);
  }
  // ones: the whole frame, which is b/z's box; zeros: one pixel.
  CHECK(json_of(l.folder / "ones.json")["performance"].GetDouble() == doctest::Approx(100.0 / 3));
  CHECK(json_of(l.folder / "zeros.json")["performance"].GetDouble() == 0);
  const std::vector<double> gaussian = eval::control_map("gaussian", 4), center = eval::control_map("center", 224);
  // Distances to (2, 2): one 0, four 1, four 2, two 4, four 5, one 8: ranks 16, 13.5, 9.5, 6.5, 3.5, 1.
  CHECK(gaussian[2 * 4 + 2] == 1.0);
  CHECK(gaussian[2 * 4 + 1] == doctest::Approx(12.5 / 15));
  CHECK(gaussian[1 * 4 + 1] == doctest::Approx(8.5 / 15));
  CHECK(gaussian[0] == 0.0);
  CHECK(std::count(center.begin(), center.end(), 1.0) == 158 * 158);
  CHECK(center[33 * 224 + 33] == 1.0);
  CHECK(center[190 * 224 + 190] == 1.0);
  CHECK(center[191 * 224 + 190] == 0.0);
}

TEST_CASE("wsol: maps as files, wherever their names put them") {
  const ScratchFolder folder;
  const std::vector<std::string> ids{"val/c/x.v2.JPEG"};
  for (const std::string name : {"val/c/x.v2.JPEG.npy", "val/c/x.v2.npy", "x.v2.JPEG.npy", "x.v2.npy"}) {
    const std::string file = folder / name;
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    eval::write_npy(file, std::vector<std::int64_t>{1, 2, 2}, std::vector<double>{0.1, 0.2, 0.3, 0.4});
    CHECK(eval::read_maps(folder.path(), ids, 2) == std::vector<double>{0.1, 0.2, 0.3, 0.4});
    std::filesystem::remove(file);
  }
  const std::vector<float> map{-1, 1, 3, NAN, 2, 2, 2, 2};
  CHECK(eval::unit_range(map, 2, eval::Protocol::paper) == std::vector<double>{0, 0.5, 1, 0.25, 1, 1, 1, 1});
  CHECK(eval::unit_range(map, 2, eval::Protocol::strict) == std::vector<double>{0, 0.5, 1, 0.25, 0, 0, 0, 0});
}

TEST_CASE("wsol: attribution methods, and which class they explain") {
  const test::TinyData data;
  const auto run = [&](const std::string& name, std::vector<std::string> more) {
    std::vector<std::string> words{"wsol",       "--resnet_path", data.classifier, "--output_path", data.folder / name,
                                   "--progress", "none"};
    words.insert(words.end(), more.begin(), more.end());
    return penumbra(words);
  };
  const std::vector<std::string> own{"--val_json", data.list, "--bboxes_path", data.boxes};
  auto with = [](std::vector<std::string> words, const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  Ended ended = run("a.json", with(own, {"--cam_loader", "torchray", "--torchray_method", "grad_cam"}));
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  CHECK(json_of(data.folder / "a.json")["method"] == "grad_cam");
  CHECK(json_of(data.folder / "a.json")["run"]["explained_class"] == "the image's label");
  CHECK(run("b.json", with(own, {"--cam_loader", "torchray_grad_cam"})).code == 0);
  CHECK(slurp(data.folder / "a.images.csv") == slurp(data.folder / "b.images.csv"));
  // In wsolevaluation's layout the reference explains class 0; strict the class of class_labels.txt.
  const std::string meta = data.folder / "metadata/CUB/test/";
  std::string ids, labels, sizes, boxes;
  for (int i = 0; i < test::TinyData::images; ++i) {
    const std::string id = str(i % 2 ? "right" : "left", "/v", i, ".png");
    ids += id + "\n";
    labels += id + str(",", i % 2, "\n");
    sizes += id + ",48,40\n";
    boxes += id + ",5,5,20,20\n";
  }
  put(meta + "image_ids.txt", ids);
  put(meta + "class_labels.txt", labels);
  put(meta + "image_sizes.txt", sizes);
  put(meta + "localization.txt", boxes);
  std::filesystem::rename(data.folder / "val", data.folder / "CUB");
  const std::vector<std::string> cub{
      "--dataset",        "CUB",          "--metadata_path", data.folder / "metadata", "--dataset_path",
      data.folder.path(), "--cam_loader", "gradient"};
  ended = run("paper.json", cub);
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  CHECK(json_of(data.folder / "paper.json")["run"]["explained_class"] == "class 0");
  REQUIRE(run("strict.json", with(cub, {"--protocol", "strict"})).code == 0);
  CHECK(json_of(data.folder / "strict.json")["run"]["explained_class"] == "the image's label");
  std::string more = labels;
  more.replace(more.find(",1"), 2, ",7");
  put(meta + "class_labels.txt", more);
  REQUIRE(run("other.json", with(cub, {"--protocol", "strict"})).code == 0);
  CHECK(json_of(data.folder / "other.json")["run"]["explained_class"] == "the predicted class");
  // ILSVRC's test split: the images of imagenet_val_path, by file name.
  const std::string imagenet = data.folder / "metadata/ILSVRC/test/";
  for (const std::string file : {"image_ids.txt", "class_labels.txt", "image_sizes.txt", "localization.txt"}) {
    std::string text = slurp(meta + file);
    for (const std::string from : {"left/", "right/"})
      for (std::size_t at; (at = text.find(from)) != std::string::npos;) text.replace(at, from.size(), "val/");
    put(imagenet + file, text);
  }
  Metadata elsewhere(data.folder.path(), {"left", "right"});
  for (int i = 0; i < test::TinyData::images; ++i)
    elsewhere.add(data.folder / str("CUB/", i % 2 ? "right" : "left", "/v", i, ".png"), i % 2);
  elsewhere.write(data.folder / "val2.json");
  const std::vector<std::string> ilsvrc{"--dataset",    "ILSVRC",   "--metadata_path",     data.folder / "metadata",
                                        "--cam_loader", "gradient", "--imagenet_val_path", data.folder / "val2.json"};
  ended = run("ilsvrc.json", ilsvrc);
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  CHECK(json_of(data.folder / "ilsvrc.json")["run"]["explained_class"] == "the image's label");
  CHECK(json_of(data.folder / "ilsvrc.json")["performance"].GetDouble() ==
        json_of(data.folder / "strict.json")["performance"].GetDouble());
  put(imagenet + "image_ids.txt", "val/unknown.png\n");
  for (const std::string file : {"class_labels.txt", "image_sizes.txt", "localization.txt"})
    put(imagenet + file, file[0] == 'c'   ? "val/unknown.png,1\n"
                         : file[0] == 'i' ? "val/unknown.png,9,9\n"
                                          : "val/unknown.png,1,1,2,2\n");
  ended = run("missing.json", ilsvrc);
  CHECK(ended.code == 3);
  CHECK(contains(ended.err, "val/unknown.png"));
  CHECK(run("x.json", with(own, {"--cam_loader", "grad_cam", "--layer", "layer9"})).code == 2);
}

TEST_CASE("wsol: bad lists, maps and truths are refused by name") {
  {
    const Layout l;
    l.write("b/y.jpg", {8, 7}, std::vector<float>(56));
    l.refused(3, {"b/y.jpg", "8x7", "8x8"});
    l.write("b/y.jpg", {8, 8}, std::vector<float>(64, NAN));
    l.refused(3, {"b/y.jpg", "NaN"});
    l.refused(3, {"b/y.jpg", "not finite"}, "CUB", {"--maps", l.maps, "--scale_maps"});
    l.write("b/y.jpg", {8, 8}, std::vector<float>(64, 1.5f));
    l.refused(3, {"b/y.jpg", "1.5", "[0, 1]"});
    CHECK(l.run("CUB", {"--maps", l.maps, "--scale_maps", "--output_base_path", l.folder / "scaled.json"}).code == 0);
    std::filesystem::remove(l.maps + "/b/y.jpg.npy");
    l.refused(3, {"the map of 'b/y.jpg' is missing"});
    l.refused(3, {"no folder of maps"}, "CUB", {"--maps", l.folder / "nothing"});
    l.refused(2, {"no method 'gausian'", "gaussian"}, "CUB", {"--cam_loader", "gausian"});
    l.refused(2, {"none of OpenImages"}, "Pets");
    l.refused(3, {"ILSVRC", "image_ids.txt"}, "ILSVRC");
  }
  const auto with = [](const std::string& file, const std::string& text, const std::vector<std::string>& parts) {
    const Layout l;
    put(l.cub + file, text);
    l.refused(3, parts);
  };
  with("localization.txt", "a/x.jpg,0,0,29,19\nb/y.jpg,30,20,59,39\n", {"'b/z.jpg' has no entry", "localization.txt"});
  with("image_sizes.txt", "a/x.jpg,60,40\nb/z.jpg,60,40\n", {"'b/y.jpg' has no entry", "image_sizes.txt"});
  with("class_labels.txt", "a/x.jpg,0\nb/y.jpg,0\n", {"'b/z.jpg' has no entry", "class_labels.txt"});
  const std::string rest = "b/y.jpg,30,20,59,39\nb/z.jpg,0,0,59,39\n";
  with("localization.txt", rest + "a/x.jpg,9,0,3,5\n", {"localization.txt' line 3", "(9, 0, 3, 5)", "a/x.jpg"});
  with("localization.txt", rest + "a/x.jpg,0,0,60,5\n", {"line 3", "x1 < 60"});
  with("localization.txt", rest + "a/x.jpg,0,0,5\n", {"line 3", "is not id,x0,y0,x1,y1"});
  with("localization.txt", rest + "a/x.jpg,0,0,5,1.5\n", {"line 3", "'1.5' is no integer"});
  with("image_sizes.txt", "a/x.jpg,60,0\n", {"line 1", "60x0"});
  with("image_ids.txt", "a/x.jpg\na/x.jpg\n", {"line 2", "listed twice"});
  with("image_ids.txt", "", {"lists no images"});
  {
    const Layout l;  // no object in any mask
    l.mask("o/p_1.png", 0, 0);
    l.mask("o/p_2.png", 0, 0);
    l.mask("o/q_1.png", 0, 0);
    l.refused(3, {"no object pixel"}, "OpenImages");
    put(l.open + "localization.txt", "o/p.jpg,o/p_1.png,o/i.png\no/p.jpg,o/p_2.png,o/i.png\no/q.jpg,o/q_1.png,\n");
    l.refused(3, {"second ignore mask"}, "OpenImages");
    put(l.open + "localization.txt", "o/p.jpg,o/nothing.png,\no/q.jpg,o/q_1.png,\n");
    l.refused(3, {"nothing.png"}, "OpenImages");
  }
}

TEST_CASE("wsol: a masker on our own data, with boxes and masks") {
  const test::TinyData data;
  const auto run = [&](std::vector<std::string> more) {
    std::vector<std::string> words{"wsol", "--val_json", data.list, "--progress", "none", "--batch_size", "3"};
    words.insert(words.end(), more.begin(), more.end());
    return penumbra(words);
  };
  const std::string out = data.folder / "casme.json";
  Ended ended =
      run({"--cam_loader", "casme", "--casm_path", data.masker, "--casme_load_mode", "specific", "--bboxes_path",
           data.boxes, "--masks_path", data.folder / "masks", "--output_path", out, "--protocol", "strict"});
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  const auto result = json_of(out);
  CHECK(result["protocol"] == "strict");
  CHECK(result["images"].GetInt64() == test::TinyData::images);
  CHECK(result.HasMember("MaxBoxAcc"));
  CHECK(result["PxAP"]["performance"].GetDouble() > 0);
  CHECK(contains(slurp(data.folder / "casme.images.csv"), "left/v0.png,"));

  // The folder of a run: its last epoch, and results in wsoleval/ below it.
  std::filesystem::create_directories(data.folder / "run");
  for (const std::string name : {"epoch_002.chk", "epoch_010.chk", "last.chk"})
    std::filesystem::copy_file(data.masker, data.folder / ("run/" + name));
  CHECK(contains(eval::wsol::masker_file(data.folder / "run", "best"), "epoch_010.chk"));
  ended = run({"--cam_loader", "casme", "--casm_base_path", data.folder / "run", "--bboxes_path", data.boxes});
  CAPTURE(ended.err);
  CHECK(ended.code == 0);
  CHECK(json_of(data.folder / "run/wsoleval/val___v1.json")["performance"].GetDouble() ==
        result["performance"].GetDouble());

  const auto refused = [&](int code, const std::vector<std::string>& parts, std::vector<std::string> more) {
    more.insert(more.end(), {"--output_path", data.folder / "refused.json"});
    const Ended bad = run(more);
    CAPTURE(bad.err);
    CHECK(bad.code == code);
    for (const std::string& part : parts) CHECK_MESSAGE(contains(bad.err, part), part);
  };
  refused(4, {"is no folder of checkpoints"},
          {"--cam_loader", "casme", "--casm_path", data.masker, "--bboxes_path", data.boxes});
  refused(2, {"--bboxes_path or --masks_path"}, {"--cam_loader", "ones"});
  refused(2, {"--cam_loader", "--maps"}, {"--bboxes_path", data.boxes});
  refused(2, {"--torchray_method"}, {"--cam_loader", "torchray", "--bboxes_path", data.boxes});
  std::filesystem::remove(data.folder / "val/right/v1.png");
  refused(3, {"the image of 'right/v1.png' is not there"},
          {"--cam_loader", "casme", "--casm_path", data.masker, "--casme_load_mode", "specific", "--bboxes_path",
           data.boxes});
  BoxTable boxes;
  for (int i = 0; i < test::TinyData::images; ++i) boxes.add("v" + std::to_string(i), {{5, 5, 4, 9}});
  boxes.write(data.folder / "bad.json");
  refused(3, {"v0.png", "(5, 5, 4, 9)", "ends before it starts"},
          {"--cam_loader", "ones", "--bboxes_path", data.folder / "bad.json"});
  BoxTable none;
  for (int i = 0; i < test::TinyData::images; ++i) none.add("v" + std::to_string(i), {});
  none.write(data.folder / "none.json");
  refused(3, {"v0.png", "no annotated box"}, {"--cam_loader", "ones", "--bboxes_path", data.folder / "none.json"});
}
