// The scorer: special modes, sizes, protocols, classes, saliency terms, what is written, and what is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "eval/saliency_metric.h"
#include "eval/score.h"
#include "eval/score_report.h"

using namespace pen;
using namespace pen::eval;

namespace {

// Images, labels, boxes of n images of side `size`; a classifier of 3 classes that sums channels.
struct World {
  std::int64_t n, size;
  std::vector<float> images;
  std::vector<std::int64_t> labels;
  std::vector<std::string> paths;
  std::vector<std::vector<Box>> truth;

  World(std::int64_t count, std::int64_t side) : n(count), size(side) {
    Rng rng(11);
    images.resize(static_cast<std::size_t>(n * size * size * 3));
    for (float& v : images) v = static_cast<float>(rng.normal());
    for (std::int64_t i = 0; i < n; ++i) {
      labels.push_back(i % 3);
      paths.push_back(str("a/b, \"c\"/im", i, ".x.png"));
      truth.push_back({{0, 0, size, size}, {0, 0, (size + 1) / 2, (size + 1) / 2}});
    }
  }
  Batch batch() const { return {n, size, images, labels, paths}; }
};

std::vector<float> channel_sums(std::span<const float> x, std::int64_t n) {
  std::vector<float> logits(static_cast<std::size_t>(3 * n), 0.0f);
  const std::size_t each = x.size() / static_cast<std::size_t>(n);
  for (std::size_t i = 0; i < x.size(); ++i) logits[i / each * 3 + i % 3] += x[i];
  return logits;
}

Scorer scorer(const std::string& mode, std::int64_t size, Protocol protocol = Protocol::paper) {
  ScoreOptions options;
  options.name = mode;
  options.mode = score_mode(mode);
  options.size = size;
  options.boxes.protocol = protocol;
  return Scorer(options, channel_sums);
}

std::string text_of(const std::string& path) {
  const auto bytes = read_file(path, 1 << 20);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

TEST_CASE("special modes at any size") {
  for (const std::int64_t size : {1, 2, 57, 112, 224}) {
    CAPTURE(size);
    const World world(3, size);
    for (const std::string mode : {"max", "min", "none", "center", "ground_truth"}) {
      CAPTURE(mode);
      Scorer s = scorer(mode, size);
      s.add(world.batch(), world.truth);
      const Totals t = s.totals();
      for (const double v : t.values()) CHECK(std::isfinite(v));
      CHECK(t.top1 == 0);
      CHECK(t.top5 == 0);
      CHECK(t.OM == t.LE);  // every image counts as classified correctly
      CHECK(t.SM == doctest::Approx(t.SM1 - t.SM2));
    }
    Scorer all = scorer("max", size);
    all.add(world.batch(), world.truth);
    CHECK(all.totals().SM1 == 0);
    CHECK(all.totals().LE == 0);  // the first annotated box is the frame
    CHECK(all.totals().avg_mask == 1);
    Scorer nothing = scorer("min", size);
    nothing.add(world.batch(), world.truth);
    CHECK(nothing.totals().SM1 == doctest::Approx(std::log(0.05)));
    CHECK(nothing.totals().SM2 == doctest::Approx(std::log(1.0 / 3)));
    CHECK(nothing.totals().LE == 1);
    Scorer middle = scorer("center", size);
    middle.add(world.batch(), world.truth);
    // 33 of 224, halves to even: 16.5 of 112 is 16
    const std::int64_t margin = size == 224 ? 33 : size == 112 ? 16 : size == 57 ? 8 : 0;
    CHECK(middle.images()[0].box == Box{margin, margin, size - margin, size - margin});
  }
}

TEST_CASE("an empty mask: box of zeros in paper, whole frame in strict") {
  const World world(2, 31);
  Maps maps;
  maps.maps.assign(2 * 31 * 31, 0.7f);
  Scorer paper = scorer("casme", 31), strict = scorer("casme", 31, Protocol::strict);
  paper.add(world.batch(), world.truth, maps);
  strict.add(world.batch(), world.truth, maps);
  CHECK(paper.images()[0].box == Box{});
  CHECK(paper.totals().SM1 == doctest::Approx(std::log(0.05)));
  CHECK(paper.totals().LE == 1);
  CHECK(strict.images()[0].box == Box{0, 0, 31, 31});
  CHECK(strict.totals().SM1 == 0);
  CHECK(strict.totals().LE == 0);
  CHECK(paper.totals().F1 == strict.totals().F1);  // the soft mask itself is not empty
  CHECK(paper.totals().F1 > 0);
  CHECK(paper.totals().binarized == 0);
}

TEST_CASE("top-1 and top-5, ties to the lower class") {
  World world(3, 4);
  world.labels = {1, 0, 6};
  Maps maps;
  maps.maps.assign(3 * 16, 0.5f);
  maps.logits = {1, 1, 0, 0, 0, 0, 0,   // label 1 ties with class 0: second
                 1, 1, 0, 0, 0, 0, 0,   // label 0 ties with class 1: first
                 9, 9, 9, 9, 9, 0, 9};  // label 6 is behind five equal ones
  Scorer s = Scorer({"casme", ScoreMode::maps, 4, {}}, [](std::span<const float>, std::int64_t n) {
    return std::vector<float>(static_cast<std::size_t>(7 * n), 0.0f);
  });
  s.add(world.batch(), world.truth, maps);
  CHECK_FALSE(s.images()[0].correct);
  CHECK(s.images()[0].predicted == 0);
  CHECK(s.images()[0].top5);
  CHECK(s.images()[1].correct);
  CHECK_FALSE(s.images()[2].top5);
  CHECK(s.totals().top1 == doctest::Approx(100.0 / 3));
  CHECK(s.totals().top5 == doctest::Approx(200.0 / 3));
  CHECK(s.totals().sm_acc == doctest::Approx(100.0 / 3));  // equal logits: class 0, the second image's label
}

TEST_CASE("std_mask is weighted by batches of two and more; one of one is left out") {
  const World five(5, 4), one(1, 4);
  Maps maps, single;
  Rng rng(3);
  maps.maps.resize(5 * 16);
  for (float& m : maps.maps) m = static_cast<float>(rng.uniform());
  maps.logits.assign(15, 0.0f);
  single.maps.assign(16, 0.25f);
  single.logits.assign(3, 0.0f);
  Scorer s = scorer("casme", 4);
  s.add(five.batch(), five.truth, maps);
  const double before = s.totals().std_mask;
  CHECK(before > 0);
  s.add(one.batch(), one.truth, single);
  CHECK(s.totals().std_mask == before);
  CHECK(s.images().size() == 6);
  Scorer alone = scorer("casme", 4);
  alone.add(one.batch(), one.truth, single);
  CHECK(alone.totals().std_mask == 0);
}

TEST_CASE("std_mask is taken over the batch that was asked for, however the images come") {
  const World seven(7, 4);
  Maps maps;
  Rng rng(3);
  maps.maps.resize(7 * 16);
  for (float& m : maps.maps) m = static_cast<float>(rng.uniform());
  maps.logits.assign(21, 0.0f);
  const auto std_of = [&](std::int64_t batch, const std::vector<std::size_t>& pieces) {
    ScoreOptions options;
    options.size = 4;
    options.batch = batch;
    Scorer s(options, channel_sums);
    std::size_t first = 0;
    for (const std::size_t n : pieces) {
      const Batch part{static_cast<std::int64_t>(n), 4, std::span(seven.images).subspan(first * 48, n * 48),
                       std::span(seven.labels).subspan(first, n), std::span(seven.paths).subspan(first, n)};
      Maps some;
      some.maps.assign(maps.maps.begin() + static_cast<std::ptrdiff_t>(first * 16),
                       maps.maps.begin() + static_cast<std::ptrdiff_t>((first + n) * 16));
      some.logits.assign(3 * n, 0.0f);
      s.add(part, std::span(seven.truth).subspan(first, n), some);
      first += n;
    }
    return s.totals().std_mask;
  };
  const double threes = std_of(0, {3, 3, 1}), whole = std_of(0, {7});
  CHECK(threes != whole);
  CHECK(std_of(3, {7}) == threes);
  CHECK(std_of(3, {2, 2, 2, 1}) == threes);
  CHECK(std_of(3, {1, 1, 1, 1, 1, 1, 1}) == threes);
  CHECK(std_of(7, {2, 5}) == whole);
  CHECK(std_of(128, {2, 2, 3}) == whole);
}

TEST_CASE("log softmax is stable") {
  const std::vector<float> small = {0.1f, -2.0f, 1.5f};
  double sum = 0;
  for (const float v : small) sum += std::exp(static_cast<double>(v));
  for (std::int64_t i = 0; i < 3; ++i) {
    CHECK(log_softmax(small, i) ==
          doctest::Approx(std::log(std::exp(double(small[std::size_t(i)])) / sum)).epsilon(1e-12));
  }
  const std::vector<float> large = {-20000.0f, 30000.0f};
  CHECK(log_softmax(large, 0) == -50000);
  CHECK(log_softmax(large, 1) == 0);
  CHECK_THROWS_AS(log_softmax(small, 3), Error);
  CHECK_THROWS_AS(log_softmax(small, -1), Error);
}

TEST_CASE("crops: the frame is itself, a constant stays constant, an empty box gives zeros") {
  const World world(1, 19);
  std::vector<float> crop(world.images.size(), 99.0f);
  crop_and_enlarge(world.images, 19, {-4, -4, 30, 30}, crop);
  CHECK(crop == world.images);
  crop_and_enlarge(world.images, 19, {5, 5, 5, 9}, crop);
  CHECK(crop == std::vector<float>(crop.size(), 0.0f));
  const std::vector<float> flat(world.images.size(), 0.75f);
  crop_and_enlarge(flat, 19, {3, 7, 5, 8}, crop);
  for (const float v : crop) CHECK(v == doctest::Approx(0.75f).epsilon(1e-6));
  // One pixel: that pixel everywhere.
  crop_and_enlarge(world.images, 19, {4, 6, 5, 7}, crop);
  for (std::size_t i = 0; i < crop.size(); ++i) {
    CHECK(crop[i] == doctest::Approx(world.images[(6 * 19 + 4) * 3 + i % 3]).epsilon(1e-6));
  }
}

TEST_CASE("the classifier sees at most a batch of crops, and each crop keeps its image") {
  const World world(2, 8);
  std::vector<Crop> crops;
  for (std::int64_t i = 0; i < 5; ++i) crops.push_back({i % 2, {i, 0, 8, 8 - i}});
  std::vector<std::int64_t> sizes;
  const Classifier classifier = [&](std::span<const float> x, std::int64_t n) {
    sizes.push_back(n);
    return channel_sums(x, n);
  };
  const auto all = saliency_terms(world.batch(), crops, classifier);
  CHECK(sizes == std::vector<std::int64_t>{2, 2, 1});
  for (std::size_t i = 0; i < crops.size(); ++i) {
    const auto one = saliency_terms(world.batch(), std::span(crops).subspan(i, 1), classifier);
    CHECK(one[0].sm2 == all[i].sm2);
    CHECK(one[0].sm1 == all[i].sm1);
  }
  CHECK(all[0].sm1 == 0);
  CHECK(all[4].sm1 == doctest::Approx(std::log(16.0 / 64)));
}

TEST_CASE("ground truth averages over the boxes of an image") {
  const World world(2, 16);
  Scorer s = scorer("ground_truth", 16);
  s.add(world.batch(), world.truth);
  CHECK(s.images()[0].sm1 == doctest::Approx((0 + std::log(0.25)) / 2));
  CHECK_FALSE(s.images()[0].crop_correct.has_value());
  CHECK(s.images()[1].box == Box{0, 0, 16, 16});
  CHECK(s.totals().LE == 0);
  CHECK(s.totals().F1a == doctest::Approx(1).epsilon(1e-5));
}

TEST_CASE("what is refused, each by the image's name") {
  const World world(2, 5);
  Maps maps;
  maps.maps.assign(2 * 25, 0.5f);
  maps.logits.assign(6, 0.0f);
  const auto refused = [&](const World& w, const Maps& m, const char* what) {
    Scorer s = scorer("casme", 5);
    CHECK_THROWS_WITH_AS(s.add(w.batch(), w.truth, m), doctest::Contains(what), Error);
    CHECK(s.images().empty());
  };
  Maps bad = maps;
  bad.maps[30] = std::numeric_limits<float>::quiet_NaN();
  refused(world, bad, "im1.x.png");
  bad = maps;
  bad.maps[3] = std::numeric_limits<float>::infinity();
  refused(world, bad, "im0.x.png");
  World odd = world;
  odd.labels[1] = 3;
  refused(odd, maps, "label 3");
  odd = world;
  odd.truth[0].clear();
  refused(odd, maps, "im0.x.png");
  bad = maps;
  bad.maps.pop_back();
  refused(world, bad, "expected 50");
  bad = maps;
  bad.logits[0] = std::numeric_limits<float>::quiet_NaN();
  refused(world, bad, "not finite");
  CHECK_THROWS_AS(scorer("casme", 5).totals(), Error);
  CHECK_THROWS_AS(scorer("casme", 0), Error);
  CHECK_THROWS_AS(parse_protocol("papers"), Error);

  const BoxTable file = BoxTable::parse(
      R"({"im0": [{"xmin":1,"ymin":1,"xmax":2,"ymax":2}], "im1": [{"xmin":3,"ymin":1,"xmax":2,"ymax":2}], "im2": [],
          "im3": [{"xmin":1,"ymin":1,"xmax":2,"ymax":2}, {"xmin":1,"ymin":1,"xmax":2,"ymax":2}]})",
      "boxes");
  const auto lookup = [&](const char* path) { return truth_of(std::vector<std::string>{path}, file); };
  CHECK(lookup("x/im0.JPEG")[0].size() == 1);
  CHECK_THROWS_WITH_AS(lookup("x/im1.JPEG"), doctest::Contains("ends before it starts"), Error);
  CHECK_THROWS_WITH_AS(lookup("x/im2.JPEG"), doctest::Contains("im2"), Error);
  CHECK_THROWS_WITH_AS(lookup("x/im9.JPEG"), doctest::Contains("im9"), Error);
  CHECK_THROWS_AS(external_boxes(std::vector<std::string>{"im3.png"}, file), Error);
}

TEST_CASE("the report: exact keys, details beside them, one line an image, boxes for mode external") {
  const World world(4, 9);
  Maps maps;
  Rng rng(8);
  maps.maps.resize(4 * 81);
  for (float& m : maps.maps) m = static_cast<float>(rng.uniform());
  maps.logits = channel_sums(world.images, 4);
  Scorer s = scorer("casme", 9);
  s.add(world.batch(), world.truth, maps);
  write_report(s, "eval_report.json", "eval_report.csv", "eval_report_boxes.json", {100, 0.9, 1}, "1.2.3");

  const auto totals = parse_json(text_of("eval_report.json"), "totals");
  CHECK(totals.MemberCount() == 15);
  CHECK(totals["F1"].GetDouble() == s.totals().F1);
  const auto details = parse_json(text_of("eval_report.details.json"), "details");
  CHECK(details["protocol"] == "paper");
  CHECK(details["version"] == "1.2.3");
  CHECK(details["intervals"].MemberCount() == 14);  // all but std_mask
  CHECK(details["intervals"]["F1"]["mean"].GetDouble() == doctest::Approx(s.totals().F1));
  CHECK(details["intervals"]["SM"]["low"].GetDouble() <= details["intervals"]["SM"]["high"].GetDouble());

  const std::string csv = text_of("eval_report.csv");
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 5);
  CHECK(csv.find("\"a/b, \"\"c\"\"/im0.x.png\",0,") != std::string::npos);
  const std::string lines = images_jsonl(s);
  const auto first = parse_json(lines.substr(0, lines.find('\n')), "line");
  CHECK(first["path"] == "a/b, \"c\"/im0.x.png");
  CHECK(first["F1_of_boxes"].Size() == 2);
  CHECK(first["SM"].GetDouble() == s.images()[0].sm);

  const BoxTable boxes = BoxTable::read("eval_report_boxes.json");
  Scorer again = scorer("external", 9);
  again.add(world.batch(), world.truth, {}, external_boxes(world.paths, boxes));
  CHECK(again.images()[2].box == s.images()[2].box);
  CHECK(again.images()[2].avg == doctest::Approx(static_cast<double>(area(s.images()[2].box)) / 81));

  // The same keys twice cannot be told apart, another ending is unknown.
  s.add(world.batch(), world.truth, maps);
  CHECK_THROWS_AS(record_boxes("eval_report_boxes.json", s), Error);
  CHECK_THROWS_AS(write_report(s, "eval_report.json", "x.txt", "", {}, ""), Error);
  for (const char* file :
       {"eval_report.json", "eval_report.details.json", "eval_report.csv", "eval_report_boxes.json"}) {
    std::remove(file);
  }
}
