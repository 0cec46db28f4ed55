// MaxBoxAcc, MaxBoxAccV2 and PxAP against the recording of wsolevaluation: counts, boxes, histograms, results.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/json.h"
#include "eval/wsol/box_accuracy.h"
#include "eval/wsol/pixel_precision.h"
#include "tests/contour_loop.h"
#include "tests/golden.h"

using namespace pen;
using namespace pen::eval::wsol;

namespace {

constexpr int side = 224;

struct Recorded {
  test::Golden golden{"wsol.safetensors"};
  std::vector<std::string> ids;
  std::vector<double> maps;  // (n, side, side)
  std::vector<std::vector<Box>> boxes;

  Recorded() {
    for (const std::uint16_t q : golden.u16("cams_q16")) maps.push_back(static_cast<float>(q) / 65535.0f);
    const auto names = parse_json(golden.meta("ids"), "ids"), sizes = parse_json(golden.meta("image_sizes"), "sizes"),
               truth = parse_json(golden.meta("boxes"), "boxes");
    for (const auto& id : names.GetArray()) {
      ids.emplace_back(id.GetString());
      const auto& size = sizes[id.GetString()];
      boxes.emplace_back();
      for (const auto& b : truth[id.GetString()].GetArray())
        boxes.back().push_back(resized({b[0].GetInt64(), b[1].GetInt64(), b[2].GetInt64(), b[3].GetInt64()},
                                       size[0].GetInt64(), size[1].GetInt64(), side, side, ids.back()));
    }
  }
  std::vector<std::uint8_t> bytes(std::size_t i) const {
    std::vector<std::uint8_t> out(side * side);
    to_bytes(std::span(maps).subspan(i * side * side, side * side), out);
    return out;
  }
  BoxAccuracy accuracy(BoxMetric metric) const {
    BoxAccuracy out(metric, 0.01);
    out.add(maps, static_cast<std::int64_t>(ids.size()), side, side, boxes, ids);
    return out;
  }
};

const Recorded& recorded() {
  static const Recorded once;
  return once;
}

std::vector<Box> sorted(std::vector<Box> boxes) {
  std::sort(boxes.begin(), boxes.end(), [](const Box& a, const Box& b) {
    return std::tie(a.xmin, a.ymin, a.xmax, a.ymax) < std::tie(b.xmin, b.ymin, b.xmax, b.ymax);
  });
  return boxes;
}

Box box_at(const std::vector<std::int64_t>& v, std::size_t i) {
  return {v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]};
}

std::vector<double> to_double(const std::vector<std::int64_t>& v) { return {v.begin(), v.end()}; }

}  // namespace

TEST_CASE("golden wsol: every box of every threshold") {
  const Recorded& r = recorded();
  const std::vector<double> cuts = thresholds(0.01);
  REQUIRE(cuts.size() == 100);

  const std::vector<std::uint8_t> single = r.bytes(4);
  LevelSets sets;
  sets.set(single, side, side);
  const LargestBoxes largest = sets.largest();
  const auto want = r.golden.i64("cam4.single.boxes");
  for (std::size_t k = 0; k < cuts.size(); ++k) {
    const auto cut = static_cast<int>(cuts[k] * sets.top());
    CHECK(largest[static_cast<std::size_t>(cut)] == box_at(want, k));
  }

  const std::vector<std::uint8_t> multi = r.bytes(0);
  sets.set(multi, side, side);
  std::vector<std::vector<Box>> all(256);
  sets.contours([&](const Box& box, int low, int high) {
    for (int t = low; t <= high; ++t) all[static_cast<std::size_t>(t)].push_back(box);
  });
  const auto boxes = r.golden.i64("cam0.multi.boxes"), counts = r.golden.i64("cam0.multi.count");
  std::size_t at = 0;
  for (std::size_t k = 0; k < cuts.size(); ++k) {
    const auto cut = static_cast<int>(cuts[k] * sets.top());
    std::vector<Box> expected;
    for (std::int64_t i = 0; i < counts[k]; ++i) expected.push_back(box_at(boxes, at++));
    CHECK(sorted(all[static_cast<std::size_t>(cut)]) == sorted(expected));
    // findContours itself, in its own order: what the sweep is held against elsewhere is what was recorded.
    CHECK(test::contour_boxes(multi, side, side, cut).all == expected);
  }
  CHECK(at == 3192);
}

TEST_CASE("golden wsol: MaxBoxAcc, counts and results") {
  const Recorded& r = recorded();
  const auto want = parse_json(r.golden.meta("results"), "results");
  const BoxAccuracy::Result v1 = r.accuracy(BoxMetric::v1).result(), v2 = r.accuracy(BoxMetric::v2).result();
  CHECK(to_double(v1.correct[0]) == r.golden.f64("v1.num_correct.50"));
  CHECK(to_double(v2.correct[0]) == r.golden.f64("v2.num_correct.30"));
  CHECK(to_double(v2.correct[1]) == r.golden.f64("v2.num_correct.50"));
  CHECK(to_double(v2.correct[2]) == r.golden.f64("v2.num_correct.70"));
  CHECK(v1.images == 16);
  CHECK(std::abs(v1.performance - want["v1"]["performance"].GetDouble()) < 1e-9);
  CHECK(std::abs(v2.performance - want["v2"]["performance"].GetDouble()) < 1e-9);
  for (rapidjson::SizeType l = 0; l < 3; ++l) CHECK(std::abs(v2.best[l] - want["v2"]["per_iou"][l].GetDouble()) < 1e-9);
}

TEST_CASE("golden wsol: PxAP, histograms and result") {
  const Recorded& r = recorded();
  PixelPrecision precision(0.01);
  const std::vector<std::uint8_t> truth = r.golden.u8("gt_masks");
  // In two parts: the number of calls does not matter.
  const std::size_t part = 5 * side * side;
  precision.add(std::span(r.maps).first(part), std::span(truth).first(part), 5, std::span(r.ids).first(5));
  precision.add(std::span(r.maps).subspan(part), std::span(truth).subspan(part), 11, std::span(r.ids).subspan(5));
  const PixelPrecision::Histograms sums = precision.histograms();
  CHECK(to_double(sums.object) == r.golden.f64("pxap.true_hist"));
  CHECK(to_double(sums.background) == r.golden.f64("pxap.false_hist"));
  CHECK(std::abs(precision.pxap() - parse_json(r.golden.meta("results"), "results")["pxap"].GetDouble()) < 1e-9);
}
