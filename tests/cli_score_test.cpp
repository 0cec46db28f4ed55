// The command `score` on a few small pictures and networks with random weights: files, modes, refusals.
#include <doctest/doctest.h>

#include <cmath>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "eval/infilling.h"
#include "eval/mask_iou.h"
#include "eval/networks.h"
#include "eval/run_score.h"
#include "eval/score.h"
#include "eval/true_masks.h"
#include "tests/program.h"
#include "tests/tiny_networks.h"

using namespace pen;
using test::contains, test::Ended, test::penumbra, test::slurp, test::TinyData;

namespace {

rapidjson::Document json_of(const std::string& path) { return parse_json(slurp(path), path); }

Ended score(const TinyData& data, const std::string& mode, std::vector<std::string> more, const std::string& name) {
  std::vector<std::string> words = {
      "score",    "--mode",      mode, "--val_json",    data.list,          "--bboxes_path",
      data.boxes, "--bootstrap", "50", "--output_path", data.folder / name, "--batch_size",
      "3",        "--workers",   "1"};
  words.insert(words.end(), more.begin(), more.end());
  return penumbra(words);
}

std::vector<std::string> masker_words(const TinyData& data) { return {"--casm_path", data.masker}; }
std::vector<std::string> plain_words(const TinyData& data) { return {"--resnet_path", data.classifier}; }

// The input that scoring makes of the pictures, all at once.
struct Loaded {
  std::vector<float> images;
  std::vector<std::string> paths;
  std::vector<std::int64_t> labels;
  explicit Loaded(const TinyData& data) {
    const Metadata list = Metadata::read(data.list);
    ImagePipeline pipeline;
    Rng unused;
    images.resize(static_cast<std::size_t>(list.size()) * 32 * 32 * 3);
    for (std::int64_t i = 0; i < list.size(); ++i) {
      pipeline.load(list.path(i), Transform::score(32, false), unused, images.data() + i * 32 * 32 * 3);
      paths.push_back(list.path(i));
      labels.push_back(list.label(i));
    }
  }
};

}  // namespace

TEST_CASE("score: exactly the keys of the reference, details beside them, and the values of the networks run by hand") {
  const TinyData data;
  const Ended ended = score(data, "casme",
                            {"--casm_path", data.masker, "--resnet_path", data.classifier, "--per_image",
                             data.folder / "images.csv", "--json", "--masks_path", data.folder / "masks"},
                            "out/casme.json");
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  const auto totals = json_of(data.folder / "out/casme.json");
  REQUIRE(totals.MemberCount() == eval::Totals::names.size());
  std::size_t k = 0;
  for (const auto& member : totals.GetObject()) {
    CHECK(member.name.GetString() == std::string(eval::Totals::names[k++]));
    CHECK(member.value.IsNumber());
  }
  CHECK(ended.out == slurp(data.folder / "out/casme.json"));

  // The same by hand, in other batches.
  const Loaded loaded(data);
  const eval::MaskMaker maker(data.masker, {}, {}, {}, Device{});
  const auto judge = eval::open_classifier(data.classifier, Device{});
  eval::ScoreOptions options;
  options.size = 32;
  eval::Scorer scorer(options, eval::as_function(judge, 32));
  const eval::Maps maps = maker(loaded.images, TinyData::images, 32, {});
  const eval::Batch batch{TinyData::images, 32, loaded.images, loaded.labels, loaded.paths};
  scorer.add(batch, eval::truth_of(loaded.paths, BoxTable::read(data.boxes)), maps);
  for (const char* name : {"F1", "LE", "OM", "SM", "SM2", "top1", "sm_acc", "binarized", "avg_mask"}) {
    INFO(name);
    const auto at = static_cast<std::size_t>(
        std::find(eval::Totals::names.begin(), eval::Totals::names.end(), std::string_view(name)) -
        eval::Totals::names.begin());
    CHECK(totals[name].GetDouble() == doctest::Approx(scorer.totals().values()[at]).epsilon(1e-5));
  }
  CHECK(totals["F1"].GetDouble() > 0);

  eval::MaskIou iou;
  std::vector<std::uint8_t> truths(static_cast<std::size_t>(TinyData::images) * 1024);
  const eval::TrueMasks masks(data.folder / "masks", Transform::score(32, false));
  for (std::size_t i = 0; i < loaded.paths.size(); ++i)
    masks.load(loaded.paths[i], std::span(truths).subspan(i * 1024, 1024));
  iou.add(maps.maps, truths, TinyData::images);

  const auto details = json_of(data.folder / "out/casme.details.json");
  CHECK(details["protocol"].GetString() == std::string("paper"));
  CHECK(details["images"].GetInt() == TinyData::images);
  CHECK(details["size"].GetInt() == 32);
  CHECK(data.classifier == details["run"]["judge"].GetString());
  CHECK(contains(details["run"]["judge_is"].GetString(), "original"));
  CHECK(data.masker == details["run"]["classifier"].GetString());
  CHECK(details["mask_iou"]["mean"].GetDouble() == doctest::Approx(iou.result().mean).epsilon(1e-6));
  CHECK(details["mask_iou"]["low"].GetDouble() <= details["mask_iou"]["mean"].GetDouble());
  CHECK(details["intervals"]["F1"]["low"].GetDouble() <= totals["F1"].GetDouble());
  CHECK(details["intervals"]["F1"]["high"].GetDouble() >= totals["F1"].GetDouble());
  const std::string csv = slurp(data.folder / "images.csv");
  CHECK(std::count(csv.begin(), csv.end(), '\n') == TinyData::images + 1);
}

TEST_CASE("score: fused or layer by layer, totals are the same up to rounding") {
  const TinyData data;
  for (const std::string mode : {"casme", "gradient"}) {
    CAPTURE(mode);
    std::vector<std::string> words = masker_words(data);
    words.insert(words.end(), {"--fuse", "true"});
    REQUIRE(score(data, mode, words, "fused.json").code == 0);
    words.back() = "false";
    REQUIRE(score(data, mode, words, "plain.json").code == 0);
    words.insert(words.end(), {"--precision", "bf16"});  // it would be float32
    CHECK(score(data, mode, words, "narrow.json").code == 2);
    words.back() = "fp16";
    CHECK(score(data, mode, words, "narrow.json").code == 2);
    words[words.size() - 3] = "true";  // --fuse
    CHECK(score(data, mode, words, "half.json").code == 0);
    const auto fused = json_of(data.folder / "fused.json"), plain = json_of(data.folder / "plain.json");
    for (const auto name : eval::Totals::names) {
      const std::string key(name);
      CAPTURE(key);
      CHECK(fused[key.c_str()].GetDouble() == doctest::Approx(plain[key.c_str()].GetDouble()).epsilon(2e-3));
    }
    CHECK(fused["SM2"].GetDouble() != plain["SM2"].GetDouble());  // it is another way
  }
}

TEST_CASE("score: the judge of the crops is the checkpoint's classifier unless another is named") {
  const TinyData data;
  REQUIRE(score(data, "casme", masker_words(data), "own.json").code == 0);
  REQUIRE(score(data, "casme", {"--casm_path", data.masker, "--resnet_path", data.masker}, "same.json").code == 0);
  REQUIRE(score(data, "casme", {"--casm_path", data.masker, "--resnet_path", data.classifier}, "other.json").code == 0);
  const auto own = json_of(data.folder / "own.json"), same = json_of(data.folder / "same.json"),
             other = json_of(data.folder / "other.json");
  CHECK(own["SM2"].GetDouble() == same["SM2"].GetDouble());
  CHECK(own["SM2"].GetDouble() != other["SM2"].GetDouble());
  CHECK(own["avg_mask"].GetDouble() == other["avg_mask"].GetDouble());
  CHECK(contains(json_of(data.folder / "own.details.json")["run"]["judge_is"].GetString(), "checkpoint's own"));
}

TEST_CASE("score: recorded boxes read by mode external give the same localisation") {
  const TinyData data;
  const auto with = [&](const std::string& casm, const std::string& name) {
    return std::vector<std::string>{"--casm_path",   casm,          "--resnet_path",
                                    data.classifier, "--per_image", data.folder / (name + ".jsonl")};
  };
  std::vector<std::string> words = with(data.masker, "casme");
  words.insert(words.end(), {"--record_bboxes", data.folder / "recorded.json"});
  REQUIRE(score(data, "casme", words, "casme.json").code == 0);
  const Ended external = score(data, "external", with(data.folder / "recorded.json", "ext"), "ext.json");
  REQUIRE_MESSAGE(external.code == 0, external.err);
  // Random networks may miss every object, so that the overlaps say more than the localisation error.
  const auto overlaps = [&](const std::string& name) {
    std::istringstream lines(slurp(data.folder / (name + ".jsonl")));
    std::vector<double> out;
    for (std::string line; std::getline(lines, line);) out.push_back(parse_json(line, name)["IoU"].GetDouble());
    return out;
  };
  const std::vector<double> own = overlaps("casme");
  CHECK(own.size() == TinyData::images);
  CHECK(own == overlaps("ext"));
  CHECK(*std::max_element(own.begin(), own.end()) > 0.05);
  const auto first = json_of(data.folder / "casme.json"), second = json_of(data.folder / "ext.json");
  for (const char* name : {"LE", "SM", "SM1", "SM2", "sm_acc"}) {
    INFO(name);
    CHECK(first[name].GetDouble() == doctest::Approx(second[name].GetDouble()).epsilon(1e-6));
  }
  CHECK(second["top1"].GetDouble() == 0);
}

TEST_CASE("score: special modes, limits and the printed table") {
  const TinyData data;
  for (const std::string mode : {"max", "min", "center", "ground_truth"}) {
    INFO(mode);
    std::vector<std::string> words = plain_words(data);
    words.insert(words.end(), {"--masks_path", data.folder / "masks"});
    const Ended ended = score(data, mode, words, mode + ".json");
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    CHECK(contains(ended.out, "| LE "));
    CHECK(contains(ended.out, "| mask IoU at "));
  }
  CHECK(json_of(data.folder / "max.json")["avg_mask"].GetDouble() == 1);
  CHECK(json_of(data.folder / "min.json")["avg_mask"].GetDouble() == 0);
  CHECK(json_of(data.folder / "min.json")["LE"].GetDouble() == 1);
  CHECK(json_of(data.folder / "ground_truth.json")["LE"].GetDouble() == 0);
  const double centre = 22.0 / 32.0;
  CHECK(json_of(data.folder / "center.json")["avg_mask"].GetDouble() == doctest::Approx(centre * centre));
  // A disc fills pi/4 of its box.
  const double iou = json_of(data.folder / "ground_truth.details.json")["mask_iou"]["mean"].GetDouble();
  CHECK(iou > 0.6);
  CHECK(iou < 0.9);

  std::vector<std::string> words = plain_words(data);
  words.insert(words.end(), {"--limit", "2", "--bootstrap", "0"});
  REQUIRE(score(data, "max", words, "two.json").code == 0);
  const auto details = json_of(data.folder / "two.details.json");
  CHECK(details["images"].GetInt() == 2);
  CHECK(details["intervals"].MemberCount() == 0);
}

TEST_CASE("score: boxes in the frame of another input size are noticed") {
  const TinyData data;
  const BoxTable boxes = BoxTable::read(data.boxes);
  const auto warned = [&](std::int64_t factor, std::int64_t shift) {
    BoxTable many;  // three boxes an image, because a few prove nothing
    for (const auto& [key, list] : boxes.entries()) {
      const Box b = list[0];
      many.add(key, std::vector<Box>(3, {b.xmin * factor + shift, b.ymin * factor + shift, b.xmax * factor + shift,
                                         b.ymax * factor + shift}));
    }
    many.write(data.folder / "many.json");
    std::vector<std::string> words = plain_words(data);
    words.insert(words.end(), {"--bboxes_path", data.folder / "many.json"});
    const Ended ended = score(data, "max", words, "frame.json");
    CHECK(ended.code == 0);
    return contains(ended.err, "are they given in its frame?");
  };
  CHECK_FALSE(warned(1, 0));
  CHECK(warned(0, 1));
  CHECK(warned(7, 40));
}

TEST_CASE("score: maskers that are told an area or a class") {
  const TinyData data;
  test::write_tiny(data.folder / "p.chk", {.prob = true});
  const std::vector<std::string> p = {"--casm_path", data.folder / "p.chk"};
  const Ended missing = score(data, "casme", p, "p.json");
  CHECK(missing.code == 2);
  CHECK(contains(missing.err, "--use_p is missing"));
  for (const std::string area : {"0.1", "0.9"}) {
    std::vector<std::string> words = p;
    words.insert(words.end(), {"--use_p", area});
    CHECK(score(data, "casme", words, area + ".json").code == 0);
  }
  CHECK(json_of(data.folder / "0.1.json")["avg_mask"].GetDouble() !=
        json_of(data.folder / "0.9.json")["avg_mask"].GetDouble());
  const Ended useless = score(data, "casme", {"--casm_path", data.masker, "--use_p", "0.5"}, "u.json");
  CHECK(useless.code == 2);
  CHECK(contains(useless.err, "--use_p has no effect"));
  CHECK_FALSE(std::filesystem::exists(data.folder / "u.json"));

  test::write_tiny(data.folder / "ids.chk", {.class_ids = true});
  REQUIRE(score(data, "casme", {"--casm_path", data.folder / "ids.chk"}, "ids.json").code == 0);
  const Loaded loaded(data);
  const eval::MaskMaker maker(data.folder / "ids.chk", {}, {}, {}, Device{});
  const eval::Maps told = maker(loaded.images, TinyData::images, 32, loaded.labels);
  double mean = 0;
  for (const float m : told.maps) mean += m / static_cast<double>(told.maps.size());
  CHECK(json_of(data.folder / "ids.json")["avg_mask"].GetDouble() == doctest::Approx(mean).epsilon(1e-5));
  std::vector<std::int64_t> swapped = loaded.labels;
  for (std::int64_t& label : swapped) label = 1 - label;
  CHECK(maker(loaded.images, TinyData::images, 32, swapped).maps != told.maps);
}

TEST_CASE("score: bad input has its exit code, a text that names it, and leaves no totals") {
  const auto refused = [](const TinyData& data, int code, const std::vector<std::string>& parts,
                          const std::vector<std::string>& words, const std::string& mode = "casme") {
    const Ended ended = score(data, mode, words, "refused.json");
    CAPTURE(ended.err);
    CHECK(ended.code == code);
    CHECK(ended.out.empty());
    for (const std::string& part : parts) CHECK_MESSAGE(contains(ended.err, part), part);
    CHECK_FALSE(std::filesystem::exists(data.folder / "refused.json"));
    CHECK_FALSE(std::filesystem::exists(data.folder / "refused.details.json"));
  };
  {
    const TinyData data;
    std::filesystem::remove(data.folder / "val/right/v3.png");
    refused(data, 3, {"val/right/v3.png"}, masker_words(data));
  }
  {
    const TinyData data;
    test::put(data.boxes, R"({"v0": [{"xmin": 1, "ymin": 1, "xmax": 9, "ymax": 9}]})");
    refused(data, 3, {"v1.png", "no entry 'v1'"}, masker_words(data));
    test::put(data.boxes, "{\"v0\": [");
    refused(data, 3, {data.boxes, "line 1"}, masker_words(data));
  }
  {
    const TinyData data;
    test::put(data.list, "{\"root\": \"\",\n oops");
    refused(data, 3, {data.list, "line 2"}, masker_words(data));
  }
  {
    const TinyData data;
    refused(data, 4, {"holds no masker"}, {"--casm_path", data.classifier});
    refused(data, 4, {data.boxes}, {"--casm_path", data.boxes});
    refused(data, 4, {"absent.chk"}, {"--casm_path", data.folder / "absent.chk"});
    const std::string whole = slurp(data.masker);
    test::put(data.folder / "cut.chk", whole.substr(0, whole.size() / 2));
    refused(data, 4, {"cut.chk"}, {"--casm_path", data.folder / "cut.chk"});
    test::write_tiny(data.folder / "wide.chk", {.masker = false, .arch = "resnet50"});
    refused(data, 4, {"tap 1", "wide.chk"},
            {"--casm_path", data.masker, "--classifier_load_mode", "path:" + data.folder / "wide.chk"});
    test::write_tiny(data.folder / "three.chk", {.classes = {"left", "right", "up"}});
    refused(data, 3, {"2 classes", "has 3"}, {"--casm_path", data.folder / "three.chk"});
    test::write_tiny(data.folder / "named.chk", {.classes = {"left", "wrong"}});
    refused(data, 3, {"class 1 is 'right'", "'wrong'"}, {"--casm_path", data.folder / "named.chk"});
    refused(data, 3, {"class 1 is 'right'", "'wrong'"}, {"--resnet_path", data.folder / "named.chk"}, "center");
    refused(data, 2, {"--mode center needs --resnet_path"}, {}, "center");
    refused(data, 3, {"one box an image"},
            {"--casm_path",
             [&] {
               BoxTable two;
               for (int i = 0; i < TinyData::images; ++i)
                 two.add("v" + std::to_string(i), {{0, 0, 5, 5}, {1, 1, 6, 6}});
               two.write(data.folder / "two.json");
               return data.folder / "two.json";
             }(),
             "--resnet_path", data.classifier},
            "external");
    std::filesystem::remove(data.folder / "masks/left/v2.png");
    refused(data, 3, {"the mask of", "v2.png"}, {"--casm_path", data.masker, "--masks_path", data.folder / "masks"});
    const Ended folder = score(data, "casme", masker_words(data), "val");
    CHECK(folder.code == 2);
    CHECK(contains(folder.err, "is a folder"));
  }
}

TEST_CASE("score: interrupted, it writes nothing") {
  const TinyData data;
  ScoreRunOptions options;
  options.val_json = data.list;
  options.bboxes_path = data.boxes;
  options.mode = "casme";
  options.casm_path = data.masker;
  options.output_path = data.folder / "out.json";
  options.batch_size = 2;
  options.progress = "none";
  interrupt::request();
  const eval::ScoreRun run = eval::run_score(options, Device{}, "cpu");
  interrupt::clear();
  CHECK(run.interrupted);
  CHECK_FALSE(std::filesystem::exists(options.output_path));
  CHECK_FALSE(eval::run_score(options, Device{}, "cpu").interrupted);
  CHECK(std::filesystem::exists(options.output_path));
}

TEST_CASE("score with an infiller: the accuracy on the infilled images of both sides, counted here again") {
  const TinyData data;
  const Ended ended =
      score(data, "casme", {"--casm_path", data.masker, "--infiller_model", "mean_color"}, "filled.json");
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  const auto details = json_of(data.folder / "filled.details.json");
  REQUIRE(details.HasMember("infilled"));
  const Loaded loaded(data);
  const auto n = static_cast<std::int64_t>(loaded.labels.size());
  const eval::MaskMaker maker(data.masker, {}, {}, {}, Device{});
  const eval::Maps maps = maker(loaded.images, n, 32, {});
  const auto infiller = make_infiller({.model = "mean_color"});
  for (const bool in : {true, false}) {
    const std::vector<float> logits = eval::logits_of(
        *maker.classifier().network, eval::infilled_images(*infiller, loaded.images, maps.maps, in, n, 32), n, 32);
    int right = 0;
    for (std::size_t i = 0; i < loaded.labels.size(); ++i)
      right += (logits[2 * i + 1] > logits[2 * i]) == (loaded.labels[i] == 1);
    CHECK(details["infilled"][in ? "masked_in_top1" : "masked_out_top1"].GetDouble() ==
          doctest::Approx(100.0 * right / static_cast<double>(n)));
  }
  // The 15 keys of the result file stay what they are.
  CHECK(json_of(data.folder / "filled.json").MemberCount() == 15);
  const Ended one = score(
      data, "casme", {"--casm_path", data.masker, "--infiller_model", "blur", "--do_infill_for_mask_in"}, "one.json");
  REQUIRE_MESSAGE(one.code == 0, one.err);
  CHECK_FALSE(json_of(data.folder / "one.details.json")["infilled"].HasMember("masked_out_top1"));
  CHECK(score(data, "max", {"--resnet_path", data.classifier, "--infiller_model", "blur"}, "max.json").code == 2);
}
