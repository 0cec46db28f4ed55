// The commands `evaluate` and `compare`: many methods by many metrics, and two results image by image.
#include <doctest/doctest.h>

#include <cmath>

#include "base/json.h"
#include "eval/judging/compare.h"
#include "eval/npy.h"
#include "tests/program.h"
#include "tests/tiny_networks.h"

using namespace pen;
using test::contains, test::Ended, test::penumbra, test::put, test::ScratchFolder, test::slurp, test::TinyData;

namespace {

rapidjson::Document json_of(const std::string& path) { return parse_json(slurp(path), path); }

Ended evaluate(const TinyData& data, std::vector<std::string> more) {
  std::vector<std::string> words{
      "evaluate",     "--val_json",          data.list,      "--progress", "none", "--bboxes_path", data.boxes,
      "--masks_path", data.folder / "masks", "--batch_size", "3"};
  words.insert(words.end(), more.begin(), more.end());
  return penumbra(words);
}

double value(const rapidjson::Document& json, const char* metric) {
  return json["metrics"][metric]["value"].GetDouble();
}

}  // namespace

TEST_CASE("evaluate: methods x metrics, as files and as a table") {
  const TinyData data;
  const std::string out = data.folder / "methods";
  Ended ended =
      evaluate(data, {"--methods", "casme,grad_cam,random,center,ones", "--casm_path", data.masker, "--metrics",
                      "LE,MaxBoxAcc,MaxBoxAccV2,PxAP,insertion,deletion,average_drop,road,pointing_game,"
                      "energy_pointing_game,sparseness,max_sensitivity,ms_per_image",
                      "--sensitivity_samples", "2", "--curve_steps", "4", "--output_path", out});
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  for (const std::string name : {"casme", "grad_cam", "random", "center", "ones"}) {
    const auto json = json_of(out + "/" + name + ".json");
    CHECK(json["protocol"] == "paper");
    CHECK(json["images"].GetInt64() == TinyData::images);
    for (const auto& member : json["metrics"].GetObject()) {
      CHECK(std::isfinite(member.value["value"].GetDouble()));
      CHECK(member.value["low"].GetDouble() <= member.value["high"].GetDouble());
    }
    CHECK(contains(ended.out, "| " + name));
    CHECK(contains(slurp(out + "/table.md"), "| " + name));
    CHECK(contains(slurp(out + "/table.csv"), name + ","));
    CHECK(contains(slurp(out + "/table.tex"), name == "grad_cam" ? "grad\\_cam &" : name + " &"));
    CHECK(contains(slurp(out + "/" + name + ".csv"), "left/v0.png,"));
    CHECK(contains(slurp(out + "/" + name + ".csv"), ",paper\n"));
  }
  CHECK(json_of(out + "/grad_cam.json")["run"]["explained_class"] == "the image's label");
  // The curves of all methods have the same ends, and one of them is the whole image.
  const auto end_of = [&](const std::string& name, const char* metric, const char* which) {
    return json_of(out + "/" + name + ".json")["curve_ends"][metric][which].GetDouble();
  };
  const double whole = end_of("casme", "deletion", "start");
  CHECK(whole > 0);
  CHECK(end_of("casme", "insertion", "end") == doctest::Approx(whole).epsilon(1e-6));
  for (const std::string name : {"grad_cam", "ones"})
    for (const char* metric : {"insertion", "deletion"})
      for (const char* which : {"start", "end"})
        CHECK(end_of(name, metric, which) == doctest::Approx(end_of("casme", metric, which)).epsilon(1e-6));
  // Random weights see the class in the blurred image as in the sharp one.
  CHECK(end_of("casme", "insertion", "start") > 0.75 * whole);
  CHECK(contains(ended.err, "insertion begins at a mean probability of "));
  // Controls whose values are known.
  const auto ones = json_of(out + "/ones.json"), center = json_of(out + "/center.json");
  CHECK(value(ones, "LE") == 1);
  CHECK(value(ones, "average_drop") == 0);
  CHECK(value(ones, "sparseness") == doctest::Approx(0).epsilon(1e-9));
  CHECK(value(ones, "max_sensitivity") == 0);
  CHECK(value(ones, "PxAP") == doctest::Approx(100 * value(ones, "energy_pointing_game")).epsilon(0.1));
  CHECK(value(center, "sparseness") > 0.3);
  CHECK(value(json_of(out + "/casme.json"), "max_sensitivity") > 0);

  // The same LE as score's, and the same MaxBoxAcc and PxAP as wsol's.
  ended = penumbra({"score", "--mode", "casme", "--casm_path", data.masker, "--val_json", data.list, "--bboxes_path",
                    data.boxes, "--output_path", data.folder / "score.json", "--progress", "none"});
  REQUIRE(ended.code == 0);
  const auto casme = json_of(out + "/casme.json");
  CHECK(value(casme, "LE") == doctest::Approx(json_of(data.folder / "score.json")["LE"].GetDouble()));
  ended = penumbra({"wsol", "--cam_loader", "casme", "--casm_path", data.masker, "--casme_load_mode", "specific",
                    "--val_json", data.list, "--bboxes_path", data.boxes, "--masks_path", data.folder / "masks",
                    "--output_path", data.folder / "wsol.json", "--progress", "none"});
  REQUIRE(ended.code == 0);
  const auto wsol = json_of(data.folder / "wsol.json");
  CHECK(value(casme, "MaxBoxAcc") == wsol["MaxBoxAcc"]["performance"].GetDouble());
  CHECK(value(casme, "MaxBoxAccV2") == wsol["MaxBoxAccV2"]["performance"].GetDouble());
  CHECK(value(casme, "PxAP") == wsol["PxAP"]["performance"].GetDouble());

  // Nothing is overwritten unasked; the same call gives the same figures.
  const std::vector<std::string> again{"--methods", "casme",     "--casm_path",       data.masker,     "--output_path",
                                       out,         "--metrics", "LE,insertion,road", "--curve_steps", "4"};
  ended = evaluate(data, again);
  CHECK(ended.code == 2);
  CHECK(contains(ended.err, "--overwrite"));
  auto allowed = again;
  allowed.push_back("--overwrite");
  REQUIRE(evaluate(data, allowed).code == 0);
  for (const char* metric : {"LE", "insertion", "road"})
    CHECK(value(json_of(out + "/casme.json"), metric) == value(casme, metric));
}

TEST_CASE("evaluate: some images, from the beginning of the list or spread over it") {
  const TinyData data;
  const auto images = [&](const std::string& name, std::vector<std::string> more) {
    more.insert(more.end(), {"--methods", "ones", "--input_size", "32", "--metrics", "LE,PxAP", "--output_path",
                             data.folder / name});
    const Ended ended = evaluate(data, more);
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    std::string found;
    const std::string csv = slurp(data.folder / (name + "/ones.csv"));
    for (int i = 0; i < TinyData::images; ++i)
      if (contains(csv, "/v" + std::to_string(i) + ".png,")) found += std::to_string(i);
    return found;
  };
  CHECK(images("all", {}) == "0123456");
  CHECK(images("first", {"--limit", "3"}) == "012");
  CHECK(images("spread", {"--limit", "3", "--spread"}) == "024");
  CHECK(images("most", {"--limit", "6", "--spread"}) == "012345");
  CHECK(images("more", {"--limit", "9", "--spread"}) == "0123456");
  const Ended refused = evaluate(data, {"--methods", "ones", "--spread", "--output_path", data.folder / "no"});
  CHECK(refused.code == 2);
  CHECK(contains(refused.err, "spread"));
}

TEST_CASE("evaluate: somebody's maps, and what it refuses") {
  const TinyData data;
  const std::string maps = data.folder / "theirs";
  for (int i = 0; i < TinyData::images; ++i) {
    const std::string file = maps + "/v" + std::to_string(i) + ".npy";
    std::filesystem::create_directories(maps);
    eval::write_npy(file, std::vector<std::int64_t>{32, 32}, std::vector<double>(32 * 32, 0.25));
  }
  Ended ended = evaluate(data, {"--maps", maps, "--input_size", "32", "--metrics", "LE,pointing_game,sparseness",
                                "--output_path", data.folder / "a"});
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  CHECK(json_of(data.folder / "a/theirs.json")["metrics"]["LE"]["value"].GetDouble() == 1);

  const auto refused = [&](int code, const std::vector<std::string>& parts, std::vector<std::string> words) {
    words.insert(words.end(), {"--output_path", data.folder / "refused"});
    const Ended bad = evaluate(data, words);
    CAPTURE(bad.err);
    CHECK(bad.code == code);
    for (const std::string& part : parts) CHECK_MESSAGE(contains(bad.err, part), part);
    CHECK_FALSE(std::filesystem::exists(data.folder / "refused/table.md"));
  };
  refused(2, {"no metric 'insertoin'", "insertion"}, {"--methods", "ones", "--metrics", "insertoin"});
  refused(2, {"'LE' is there twice"}, {"--methods", "ones", "--metrics", "LE,LE"});
  refused(2, {"no method 'grad-kam'", "grad_cam"}, {"--methods", "grad-kam"});
  refused(2, {"casme needs --casm_base_path"}, {"--methods", "casme"});
  refused(2, {"grad_cam needs --resnet_path"}, {"--methods", "grad_cam"});
  refused(2, {"insertion needs a classifier"}, {"--methods", "ones", "--metrics", "insertion"});
  refused(2, {"--methods", "--maps"}, {"--metrics", "LE"});
  refused(2, {"class 9"}, {"--methods", "grad_cam", "--resnet_path", data.classifier, "--target", "9"});
  eval::write_npy(maps + "/v3.npy", std::vector<std::int64_t>{32, 32}, std::vector<double>(32 * 32, 1.25));
  refused(3, {"v3.png", "1.25"}, {"--maps", maps, "--input_size", "32", "--metrics", "LE"});
  eval::write_npy(maps + "/v3.npy", std::vector<std::int64_t>{16, 64}, std::vector<double>(32 * 32, 0.25));
  refused(3, {"v3", "16x64", "32x32"}, {"--maps", maps, "--input_size", "32", "--metrics", "LE"});
  test::write_tiny(data.folder / "three.chk", {.classes = {"left", "right", "up"}, .masker = false});
  refused(3, {"2 classes", "3", "top1"}, {"--methods", "gradient", "--resnet_path", data.folder / "three.chk"});
}

TEST_CASE("compare: paired differences, intervals, wins") {
  const ScratchFolder folder;
  put(folder / "a.csv", "image,LE,insertion,note,protocol\nx,0,0.5,p,paper\ny,1,0.25,q,paper\nz,0,0.75,,paper\n");
  put(folder / "b.csv", "image,insertion,LE,protocol\nz,0.5,1,paper\nx,0.5,1,paper\n\"y\",,1,paper\n");
  const auto run = [&](std::vector<std::string> more) {
    std::vector<std::string> words{"compare"};
    words.insert(words.end(), more.begin(), more.end());
    return penumbra(words);
  };
  Ended ended = run({folder / "a.csv", folder / "b.csv", "--json", "--bootstrap", "500"});
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  const auto json = parse_json(ended.out, "stdout");
  const auto& le = json["metrics"]["LE"];
  CHECK(le["A"].GetDouble() == doctest::Approx(1.0 / 3));
  CHECK(le["B"].GetDouble() == 1);
  CHECK(le["difference"].GetDouble() == doctest::Approx(-2.0 / 3));
  CHECK(le["low"].GetDouble() <= -2.0 / 3);
  CHECK(le["high"].GetDouble() >= -2.0 / 3);
  CHECK(le["A_better"].GetInt64() == 2);  // lower is better
  CHECK(le["B_better"].GetInt64() == 0);
  CHECK(le["ties"].GetInt64() == 1);
  const auto& insertion = json["metrics"]["insertion"];
  CHECK(insertion["images"].GetInt64() == 2);  // y has no value in B
  CHECK(insertion["difference"].GetDouble() == doctest::Approx(0.125));
  CHECK(insertion["A_better"].GetInt64() == 1);
  CHECK_FALSE(json["metrics"].HasMember("note"));
  CHECK(json["protocol"] == "paper");

  for (const std::string ending : {".md", ".csv", ".tex"})
    REQUIRE(run({folder / "a.csv", folder / "b.csv", "--output", folder / ("t" + ending)}).code == 0);
  CHECK(contains(slurp(folder / "t.md"), "| LE        | 0.3333 | 1.0000 | -0.6667 |"));
  CHECK(contains(slurp(folder / "t.csv"), "LE,0.3333,1.0000,-0.6667,"));
  CHECK(contains(slurp(folder / "t.tex"), "LE & 0.3333 & 1.0000 & -0.6667 &"));

  const auto refused = [&](const std::string& a, const std::string& b, int code, const std::vector<std::string>& parts,
                           std::vector<std::string> more = {}) {
    more.insert(more.begin(), {folder / a, folder / b});
    const Ended bad = run(more);
    CAPTURE(bad.err);
    CHECK(bad.code == code);
    for (const std::string& part : parts) CHECK_MESSAGE(contains(bad.err, part), part);
  };
  put(folder / "fewer.csv", "image,LE\nx,0\ny,1\n");
  refused("a.csv", "fewer.csv", 3, {"image 'z'", "--common"});
  refused("fewer.csv", "a.csv", 3, {"1 images that", "--common"});
  ended = run({folder / "a.csv", folder / "fewer.csv", "--common", "--json"});
  CHECK(parse_json(ended.out, "stdout")["left_out"].GetInt64() == 1);
  put(folder / "strict.csv", "image,LE,protocol\nx,0,strict\ny,1,strict\nz,1,strict\n");
  refused("a.csv", "strict.csv", 3, {"paper", "strict"});
  put(folder / "mixed.csv", "image,LE,protocol\nx,0,strict\ny,1,paper\n");
  refused("a.csv", "mixed.csv", 3, {"row 3", "protocol 'paper'"});
  put(folder / "twice.csv", "image,LE\nx,0\nx,1\n");
  refused("a.csv", "twice.csv", 3, {"'x' is there twice"});
  put(folder / "ragged.csv", "image,LE\nx,0,1\n");
  refused("a.csv", "ragged.csv", 3, {"row 2 has 3 cells"});
  put(folder / "quote.csv", "image,LE\n\"x,0\n");
  refused("a.csv", "quote.csv", 3, {"quote is not closed"});
  put(folder / "empty.csv", "");
  refused("a.csv", "empty.csv", 3, {"no results"});
  refused("a.csv", "none.json", 3, {"no results of each image beside it"});
  refused("a.csv", "b.csv", 3, {"no column of numbers 'OM'"}, {"--columns", "OM"});
  refused("a.csv", "b.csv", 2, {"none of .md, .csv, .tex"}, {"--output", folder / "x.html"});
  CHECK(run({folder / "a.csv"}).code == 2);
}
