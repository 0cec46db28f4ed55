// The complete scoring against the recording: five modes, totals and per image, erosion and dilation, mask statistics.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/metadata.h"
#include "eval/masks.h"
#include "eval/score.h"
#include "eval/score_report.h"
#include "layers/mask_statistics.h"
#include "tests/compare.h"
#include "tests/golden.h"

using namespace pen;
using namespace pen::eval;

namespace {

std::vector<float> masks_of(const test::Golden& golden) {
  std::vector<float> masks;
  for (const std::uint16_t q : golden.u16("masks_q16")) masks.push_back(static_cast<float>(q) / 65535.0f);
  return masks;
}

// Bilinear enlargement by 8 without aligned corners, (n, 3, h, h) to (n, 8h, 8h, 3), in float32 as PyTorch computes it.
std::vector<float> enlarge(const std::vector<float>& x, std::int64_t n, std::int64_t h) {
  const std::int64_t size = 8 * h;
  std::vector<float> y(static_cast<std::size_t>(n * size * size * 3));
  const auto source = [&](std::int64_t i, std::int64_t& low, std::int64_t& high, float& weight) {
    const float at = std::max(0.0f, (static_cast<float>(i) + 0.5f) * 0.125f - 0.5f);
    low = static_cast<std::int64_t>(at);
    high = std::min(low + 1, h - 1);
    weight = at - static_cast<float>(low);
  };
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t r = 0; r < size; ++r) {
      for (std::int64_t c = 0; c < size; ++c) {
        std::int64_t r0, r1, c0, c1;
        float wr, wc;
        source(r, r0, r1, wr);
        source(c, c0, c1, wc);
        for (std::int64_t k = 0; k < 3; ++k) {
          const float* plane = x.data() + (i * 3 + k) * h * h;
          const float top = (1 - wc) * plane[r0 * h + c0] + wc * plane[r0 * h + c1];
          const float bottom = (1 - wc) * plane[r1 * h + c0] + wc * plane[r1 * h + c1];
          y[static_cast<std::size_t>(((i * size + r) * size + c) * 3 + k)] = (1 - wr) * top + wr * bottom;
        }
      }
    }
  }
  return y;
}

// Everything that the recording's `about` describes.
struct Case {
  test::Golden golden{"score.safetensors"};
  std::vector<float> masks = masks_of(golden);
  std::int64_t n = golden.shape("masks_q16")[0], size = golden.shape("masks_q16")[1];
  std::vector<std::int64_t> labels = golden.i64("y");
  std::vector<float> images, weights;
  std::vector<std::string> paths;
  BoxTable boxes;

  Case() {
    images = test::fill("score.x", {n, 3, 28, 28}, golden.seed());
    for (float& v : images) v = 2.0f * v;
    images = enlarge(images, n, 28);
    weights = test::fill("score.W", {1000, 192}, golden.seed());
    for (float& v : weights) v = 0.4f * v;
    for (std::int64_t i = 0; i < n; ++i)
      paths.push_back(str("some/folder/img_", i / 100, i / 10 % 10, i % 10, ".v2.JPEG"));
    boxes = BoxTable::parse(golden.meta("bboxes"), "bboxes of score.safetensors");
  }

  // logits = W flatten(avgpool28(x)), the pooled image flattened in N,C,H,W order.
  std::vector<float> classify(std::span<const float> x, std::int64_t count) const {
    const std::int64_t cells = size / 28;
    std::vector<float> logits(static_cast<std::size_t>(count * 1000));
    for (std::int64_t i = 0; i < count; ++i) {
      std::vector<double> pooled(192, 0.0);
      for (std::int64_t r = 0; r < size; ++r) {
        for (std::int64_t c = 0; c < size; ++c) {
          for (std::int64_t k = 0; k < 3; ++k) {
            pooled[static_cast<std::size_t>((k * cells + r / 28) * cells + c / 28)] +=
                x[static_cast<std::size_t>(((i * size + r) * size + c) * 3 + k)] / 784.0;
          }
        }
      }
      for (std::size_t j = 0; j < 1000; ++j) {
        double sum = 0;
        for (std::size_t p = 0; p < 192; ++p) sum += static_cast<double>(weights[j * 192 + p]) * pooled[p];
        logits[static_cast<std::size_t>(i) * 1000 + j] = static_cast<float>(sum);
      }
    }
    return logits;
  }

  Scorer score(const std::string& mode, const BoxTable& external = {}, std::int64_t batch_size = 8) const {
    ScoreOptions options;
    options.name = mode;
    options.mode = score_mode(mode);
    options.size = size;
    Scorer scorer(options, [this](std::span<const float> x, std::int64_t count) { return classify(x, count); });
    const std::size_t pixels = static_cast<std::size_t>(size * size);
    for (std::int64_t first = 0; first < n; first += batch_size) {
      const std::size_t at = static_cast<std::size_t>(first);
      const std::size_t count = static_cast<std::size_t>(std::min(batch_size, n - first));
      const Batch batch{static_cast<std::int64_t>(count), size,
                        std::span(images).subspan(at * pixels * 3, count * pixels * 3),
                        std::span(labels).subspan(at, count), std::span(paths).subspan(at, count)};
      Maps maps;
      if (options.mode == ScoreMode::maps) {
        maps.maps.assign(masks.begin() + first * size * size,
                         masks.begin() + (first + static_cast<std::int64_t>(count)) * size * size);
        maps.logits = classify(batch.images, batch.n);
      }
      std::vector<Box> given;
      if (options.mode == ScoreMode::external) given = external_boxes(batch.paths, external);
      scorer.add(batch, truth_of(batch.paths, boxes), maps, given);
    }
    return scorer;
  }
};

const Case& recorded() {
  static const Case instance;
  return instance;
}

// Relative to the larger of the value and 1: totals such as avg_mask are of that order, and percentages far above.
bool close(double got, double want, double tolerance = 1e-6) {
  return std::abs(got - want) <= tolerance * std::max(1.0, std::abs(want));
}

void check_totals(const Totals& totals, const rapidjson::Value& want) {
  REQUIRE(want.MemberCount() == Totals::names.size());
  for (std::size_t i = 0; i < Totals::names.size(); ++i) {
    const std::string name(Totals::names[i]);
    const double expected = want[name].GetDouble();
    const bool indicator = name == "OM" || name == "LE" || name == "top1" || name == "top5" || name == "sm_acc";
    CAPTURE(name);
    CAPTURE(totals.values()[i]);
    CAPTURE(expected);
    CHECK(close(totals.values()[i], expected, indicator ? 1e-12 : 1e-6));
  }
}

}  // namespace

TEST_CASE("totals of the five recorded modes") {
  const auto results = parse_json(recorded().golden.meta("results"), "results");
  REQUIRE(results.MemberCount() == 5);
  for (const auto& member : results.GetObject()) {
    const std::string mode = member.name.GetString();
    CAPTURE(mode);
    const Scorer scorer = recorded().score(mode);
    check_totals(scorer.totals(), member.value);
    // The file that is written has the same keys in the same order.
    const auto written = parse_json(totals_json(scorer.totals()), "totals");
    REQUIRE(written.MemberCount() == member.value.MemberCount());
    auto key = written.MemberBegin();
    for (const auto& field : member.value.GetObject()) CHECK((key++)->name == field.name);
  }
}

TEST_CASE("per-image results of the masker") {
  const auto want = parse_json(recorded().golden.meta("per_image"), "per_image");
  const Scorer scorer = recorded().score("casme");
  REQUIRE(want.Size() == scorer.images().size());
  for (rapidjson::SizeType i = 0; i < want.Size(); ++i) {
    const ImageScore& got = scorer.images()[i];
    const auto& w = want[i];
    CAPTURE(i);
    CHECK(got.box ==
          Box{w["box"][0].GetInt64(), w["box"][2].GetInt64(), w["box"][1].GetInt64(), w["box"][3].GetInt64()});
    CHECK(close(got.binarized, w["binarized"].GetDouble(), 1e-7));
    CHECK(got.correct == (w["correct"].GetInt() == 1));
    CHECK(close(got.sm, w["sm"].GetDouble()));
    CHECK(close(got.sm1, w["sm1"].GetDouble()));
    CHECK(close(got.sm2, w["sm2"].GetDouble()));
    CHECK((got.crop_correct.value() ? 100.0 : 0.0) == w["sm_acc"].GetDouble());
    REQUIRE(got.f1_of.size() == w["f1"].Size());
    REQUIRE(got.iou_of.size() == w["iou_over_half"].Size());
    for (rapidjson::SizeType b = 0; b < w["f1"].Size(); ++b) {
      CAPTURE(b);
      CHECK(close(got.f1_of[b], w["f1"][b].GetDouble()));
      CHECK((got.iou_of[b] > 0.5) == (w["iou_over_half"][b].GetInt() == 1));
    }
  }
}

TEST_CASE("recorded boxes equal the reference's, and mode external reads them back") {
  const Case& c = recorded();
  const Scorer scorer = c.score("casme");
  const std::string path = "golden_score_boxes.json";
  record_boxes(path, scorer);
  const BoxTable boxes = BoxTable::read(path);
  std::remove(path.c_str());
  const std::vector<std::int64_t> want = c.golden.i64("casme.candidate_boxes_xmin_xmax_ymin_ymax");
  REQUIRE(want.size() == 4 * static_cast<std::size_t>(boxes.size()));
  for (std::size_t i = 0; i < scorer.images().size(); ++i) {
    CAPTURE(i);
    CHECK(*boxes.find(image_key(c.paths[i])) ==
          std::vector<Box>{{want[4 * i], want[4 * i + 2], want[4 * i + 1], want[4 * i + 3]}});
  }
  // Boxes and saliency metric do not depend on the mask beyond its box: the same again, where a box was found.
  const Scorer external = c.score("external", boxes);
  for (std::size_t i = 0; i < scorer.images().size(); ++i) {
    const ImageScore &a = scorer.images()[i], &b = external.images()[i];
    if (area(a.box) == 0) continue;
    CHECK(a.box == b.box);
    CHECK(a.sm == b.sm);
    CHECK(a.iou_of == b.iou_of);
    CHECK(b.correct);
  }
}

TEST_CASE("boxes after erosion and dilation") {
  const Case& c = recorded();
  const std::size_t pixels = static_cast<std::size_t>(c.size * c.size);
  int found = 0;
  for (const std::string& name : c.golden.names()) {
    const bool erodes = name.starts_with("erode"), dilates = name.starts_with("dilate");
    if (!erodes && !dilates) continue;
    ++found;
    CAPTURE(name);
    // erode3.0.box_..: three iterations, image 0
    const std::size_t digits = name.find_first_of("0123456789"), dot = name.find('.');
    const int iterations = std::stoi(name.substr(digits, dot - digits));
    const std::size_t image = std::stoul(name.substr(dot + 1));
    std::vector<std::uint8_t> binary = binarise(std::span(c.masks).subspan(image * pixels, pixels));
    const Box box = predicted_box(binary, c.size, {Protocol::paper, erodes ? iterations : 0, dilates ? iterations : 0});
    const std::vector<std::int64_t> want = c.golden.i64(name);
    CHECK(box == Box{want[0], want[2], want[1], want[3]});
  }
  CHECK(found >= 2);
}

TEST_CASE("totals do not depend on the batch size, std_mask aside") {
  const Totals a = recorded().score("casme").totals(), b = recorded().score("casme", {}, 7).totals();
  for (std::size_t i = 0; i < Totals::names.size(); ++i) {
    if (Totals::names[i] == "std_mask") continue;
    CHECK(a.values()[i] == doctest::Approx(b.values()[i]).epsilon(1e-12));
  }
  CHECK(std::abs(a.std_mask - b.std_mask) > 1e-6);
}

TEST_CASE("mask statistics of the training log") {
  const test::Golden golden("mask_stats.safetensors");
  const std::vector<float> masks = masks_of(golden);
  const std::vector<std::int64_t> shape = golden.shape("masks_q16");
  const BatchMaskStatistics got = combine(mask_statistics(masks, shape[0], shape[1], shape[2]));
  CHECK(got.avg == doctest::Approx(golden.f64("mask_avg")[0]).epsilon(1e-6));
  CHECK(got.std == doctest::Approx(golden.f64("mask_std")[0]).epsilon(1e-6));
  CHECK(got.entropy == doctest::Approx(golden.f64("mask_entropy")[0]).epsilon(1e-6));
  CHECK(got.tv == doctest::Approx(golden.f64("mask_tv")[0]).epsilon(1e-6));
}
