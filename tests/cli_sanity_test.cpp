// penumbra sanity as people run it: both checks, their files, and what they refuse.
#include <doctest/doctest.h>

#include <algorithm>
#include <pugixml.hpp>

#include "base/json.h"
#include "tests/program.h"
#include "tests/tiny_networks.h"

using namespace pen;
using namespace pen::test;

namespace {

using Words = std::vector<std::string>;

Words mprt(const TinyData& data, const std::string& output, const Words& more = {}) {
  Words words{"sanity",      "mprt", "--val_json", data.list, "--output_path", output, "--input_size", "64",
              "--bootstrap", "50",   "--workers",  "0",       "--device",      "cpu",  "--quiet"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Words drt(const TinyData& data, const std::string& a, const std::string& b, const std::string& output) {
  return {"sanity",       "drt", "--val_json",   data.list, "--output_path", output,
          "--casm_path1", a,     "--casm_path2", b,         "--input_size",  "64",
          "--bootstrap",  "50",  "--device",     "cpu",     "--quiet"};
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// What must not be in a page that opens from disk.
void check_self_contained(const std::string& html) {
  for (const std::string word : {"src=\"http", "href=", "url(", "@import", "<link", "src=\"pictures"})
    CHECK_MESSAGE(html.find(word) == std::string::npos, word);
  CHECK(html.starts_with("<!DOCTYPE html>"));
  CHECK(html.ends_with("</html>\n"));
}

// The masker of one checkpoint beside the classifier of another, with a fact about the run.
void combine(const std::string& classifier, const std::string& masker, const std::string& args, const std::string& to) {
  Checkpoint out = read_checkpoint(classifier);
  out.parts["state_dict_masker"] = read_checkpoint(masker).parts.at("state_dict_masker");
  if (!args.empty()) out.facts["args"] = args;
  write_checkpoint(to, out);
}

void tiny(const std::string& path, std::uint64_t seed, const std::string& arch = "resnet18",
          const Words& classes = {"left", "right"}) {
  TinyNetworks what;
  what.seed = seed;
  what.arch = arch;
  what.classes = classes;
  write_tiny(path, what);
}

}  // namespace

TEST_CASE("sanity mprt: scores, tables, curves, pictures and one page") {
  const TinyData data;
  const std::string folder = data.folder / "out";
  const Ended run = penumbra(mprt(data, folder, {"--casm_path", data.masker, "--plot_img_i", "0,2"}));
  CHECK_MESSAGE(run.code == 0, run.err);
  CHECK(contains(run.out, "| cascading normal"));
  const rapidjson::Document scores = parse_json_file(folder + "/scores.json");
  for (const char* kind : {"cascading", "independent"}) {
    REQUIRE(scores.HasMember(kind));
    CHECK(scores[kind].MemberCount() == 12);
    CHECK(std::string(scores[kind].MemberBegin()->name.GetString()) == "normal");
    for (const auto& figure : scores[kind]["normal"].GetObject()) CHECK(figure.value.GetDouble() == 1);
    CHECK(scores[kind]["conv1"]["spearman"].GetDouble() < 0.99);
  }
  const rapidjson::Document details = parse_json_file(folder + "/details.json");
  CHECK(std::string(details["protocol"].GetString()) == "paper");
  CHECK(details["images"].GetInt64() == TinyData::images);
  CHECK(details["headings"].Size() == 24);
  const auto& figure = details["headings"][23]["ssim"];
  CHECK(figure["images"].GetInt64() + figure["undefined"].GetInt64() == TinyData::images);
  CHECK(figure["low"].GetDouble() <= figure["mean"].GetDouble());
  CHECK(figure["mean"].GetDouble() <= figure["high"].GetDouble());
  CHECK(count(slurp(folder + "/scores.csv"), "\n") == 25);
  CHECK(count(slurp(folder + "/images.csv"), "\n") == 1 + 24 * TinyData::images);
  for (const std::string name : {"cascading.svg", "independent.svg"}) {
    pugi::xml_document svg;
    CHECK(svg.load_string(slurp(folder + "/" + name).c_str()));
  }
  std::size_t pictures = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/pictures")) {
    ++pictures;
    CHECK(entry.file_size() > 1000);
  }
  CHECK(pictures == 24);
  CHECK(std::filesystem::exists(folder + "/pictures/independent_11_conv1.png"));
  const std::string html = slurp(folder + "/index.html");
  check_self_contained(html);
  CHECK(count(html, "src=\"data:image/jpeg;base64,") == 24);
  CHECK(count(html, "<svg ") == 2);

  // Never overwritten unasked; pictures of layers that are no longer tested go.
  const Ended again = penumbra(mprt(data, folder, {"--casm_path", data.masker}));
  CHECK(again.code == 2);
  CHECK(contains(again.err, "--overwrite"));
  const Words more{"--casm_path", data.masker,   "--overwrite", "--layer_depth",
                   "1",           "--randomise", "cascading",   "--json"};
  const Ended replaced = penumbra(mprt(data, folder, more));
  CHECK_MESSAGE(replaced.code == 0, replaced.err);
  CHECK(replaced.out == slurp(folder + "/scores.json"));
  CHECK_FALSE(std::filesystem::exists(folder + "/pictures/independent_11_conv1.png"));
  CHECK(std::filesystem::exists(folder + "/pictures/cascading_07_conv1.png"));
}

TEST_CASE("sanity mprt: the same figures whatever the batches and threads, others with another seed") {
  const TinyData data;
  const auto figures = [&](const std::string& name, const Words& more) {
    Words words{"--casm_path", data.masker, "--protocol", "strict", "--do_plot", "0", "--layer_depth", "1"};
    words.insert(words.end(), more.begin(), more.end());
    const Ended run = penumbra(mprt(data, data.folder / name, words));
    CHECK_MESSAGE(run.code == 0, run.err);
    return slurp(data.folder / (name + "/images.csv"));
  };
  const std::string one = figures("one", {"--threads", "1"});
  CHECK(count(one, "\n") == 1 + 16 * TinyData::images);
  CHECK(figures("two", {"--threads", "2", "--batch_size", "3", "--workers", "2"}) == one);
  CHECK(figures("seed", {"--seed", "1"}) != one);
  // Two batches of two images, and the paper's one batch.
  CHECK(count(figures("some", {"--batch_size", "2", "--num_batches", "2"}), "\n") == 1 + 16 * 4);
  CHECK_FALSE(std::filesystem::exists(data.folder / "one/pictures"));
  const Ended paper = penumbra(
      mprt(data, data.folder / "paper", {"--casm_path", data.masker, "--batch_size", "2", "--layer_depth", "1"}));
  CHECK_MESSAGE(paper.code == 0, paper.err);
  CHECK(count(slurp(data.folder / "paper/images.csv"), "\n") == 1 + 16 * 2);
}

TEST_CASE("sanity mprt: attribution methods by name") {
  const TinyData data;
  for (const std::string method : {"torchray_grad_cam", "gradient"}) {
    const std::string folder = data.folder / method;
    const Ended run = penumbra(mprt(data, folder,
                                    {"--method", method, "--classifier_load_mode", "path:" + data.classifier,
                                     "--target", "top1", "--protocol", "strict", "--layer_depth", "1"}));
    CHECK_MESSAGE(run.code == 0, run.err);
    const rapidjson::Document scores = parse_json_file(folder + "/scores.json");
    CHECK(scores["cascading"]["normal"]["spearman"].GetDouble() == 1);
    CHECK(scores["cascading"]["conv1"]["spearman"].GetDouble() < 0.9);
    check_self_contained(slurp(folder + "/index.html"));
  }
  const std::string folder = data.folder / "rise";
  const Ended run =
      penumbra(mprt(data, folder,
                    {"--method", "rise", "--resnet_path", data.classifier, "--samples", "8", "--layer_depth", "1",
                     "--randomise", "cascading", "--do_plot", "0", "--num_batches", "0"}));
  CHECK_MESSAGE(run.code == 0, run.err);
  CHECK(parse_json_file(folder + "/scores.json")["cascading"]["normal"]["spearman"].GetDouble() == 1);
  CHECK(parse_json_file(folder + "/details.json")["run"]["samples"].GetInt64() == 8);
}

TEST_CASE("sanity drt: two maskers on one classifier") {
  const TinyData data;
  const std::string other = data.folder / "other.chk", shuffled = data.folder / "shuffled.chk";
  tiny(other, 77);
  combine(data.masker, other, "", shuffled);
  const Ended same = penumbra(drt(data, data.masker, data.masker, data.folder / "same"));
  CHECK_MESSAGE(same.code == 0, same.err);
  const rapidjson::Document ones = parse_json_file(data.folder / "same/scores.json");
  CHECK(ones.MemberCount() == 4);
  for (const auto& figure : ones.GetObject()) CHECK(figure.value.GetDouble() == 1);
  const Ended run = penumbra(drt(data, data.masker, shuffled, data.folder / "drt"));
  CHECK_MESSAGE(run.code == 0, run.err);
  const rapidjson::Document scores = parse_json_file(data.folder / "drt/scores.json");
  CHECK(scores["spearman"].GetDouble() < 0.9);
  CHECK(count(slurp(data.folder / "drt/images.csv"), "\n") == 1 + TinyData::images);
  const std::string html = slurp(data.folder / "drt/index.html");
  check_self_contained(html);
  CHECK(count(html, "src=\"data:image/jpeg;base64,") == 1);
}

TEST_CASE("sanity drt: different classifiers are refused by name of the difference") {
  const TinyData data;
  const auto refused = [&](const std::string& path, const Words& parts) {
    const Ended run = penumbra(drt(data, data.masker, path, data.folder / "out"));
    CAPTURE(run.err);
    CHECK(run.code == 4);
    CHECK(contains(run.err, "different classifiers"));
    for (const std::string& part : parts) CHECK(contains(run.err, part));
    CHECK_FALSE(std::filesystem::exists(data.folder / "out/scores.json"));
  };
  const auto path = [&](const std::string& name) { return data.folder / (name + ".chk"); };
  tiny(path("deep"), 5, "resnet34");
  refused(path("deep"), {"architecture resnet18", "resnet34"});
  tiny(path("three"), 5, "resnet18", {"left", "right", "up"});
  refused(path("three"), {"number of classes 2", "3"});
  tiny(path("names"), 5, "resnet18", {"up", "down"});
  refused(path("names"), {"'left, right'", "'up, down'"});
  tiny(path("weights"), 77);
  refused(path("weights"), {"weights", "--allow_other_weights"});
  combine(path("weights"), path("weights"), "{\"fixed_classifier\": true}", path("fix"));
  refused(path("fix"), {"weights"});
  // As CA trains: the classifier learns along.
  combine(path("weights"), path("weights"), "{\"fixed_classifier\": false}", path("ca"));
  CHECK(penumbra(drt(data, data.masker, path("ca"), data.folder / "ca")).code == 0);
  Words allowed = drt(data, data.masker, path("fix"), data.folder / "allowed");
  allowed.push_back("--allow_other_weights");
  CHECK(penumbra(allowed).code == 0);
}

TEST_CASE("sanity: what does not go together is refused before anything is computed") {
  const TinyData data;
  const auto refused = [&](int code, const Words& more, const Words& parts) {
    const Ended run = penumbra(mprt(data, data.folder / "out", more));
    CAPTURE(run.err);
    CHECK(run.code == code);
    for (const std::string& part : parts) CHECK(contains(run.err, part));
    CHECK_FALSE(std::filesystem::exists(data.folder / "out/scores.json"));
  };
  refused(2, {}, {"--casm_path"});
  refused(2, {"--casm_path", data.masker, "--casm_path1", data.masker}, {"--casm_path1", "sanity drt"});
  refused(2, {"--casm_path", data.masker, "--method", "grad_cma"}, {"grad_cma", "grad_cam"});
  refused(2, {"--casm_path", data.masker, "--method", "grad_cam", "--layer", "layr4"}, {"layr4", "layer4"});
  refused(2, {"--casm_path", data.masker, "--method", "grad_cam", "--target", "2"}, {"class 2", "0 to 1"});
  refused(2, {"--casm_path", data.masker, "--method", "grad_cam", "--samples", "3"}, {"--samples", "no effect"});
  refused(2, {"--method", "gradient"}, {"--casm_path", "--resnet_path"});
  refused(2, {"--casm_path", data.masker, "--plot_img_i", "7"}, {"--plot_img_i", "7"});
  refused(2, {"--casm_path", data.masker, "--plot_img_i", "1,1"}, {"twice"});
  refused(2, {"--casm_path", data.masker, "--target", "top1"}, {"--target", "no effect"});
  refused(2, {"--casm_path", data.masker, "--use_p", "0.5"}, {"--use_p"});
  refused(3, {"--casm_path", data.masker, "--val_json", data.folder / "none.json"}, {"none.json"});
  refused(4, {"--casm_path", data.classifier}, {"masker"});
  tiny(data.folder / "three.chk", 5, "resnet18", {"left", "right", "up"});
  refused(3, {"--casm_path", data.folder / "three.chk", "--method", "gradient"}, {"2 classes", "knows 3"});
  const Ended small = penumbra({"sanity", "mprt", "--val_json", data.list, "--output_path", data.folder / "out",
                                "--casm_path", data.masker, "--device", "cpu", "-q"});
  CHECK(small.code == 2);
  CHECK(contains(small.err, "48"));
}
