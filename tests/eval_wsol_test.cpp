// The WSOL benchmark's figures: wsolevaluation's own cases, findContours at each threshold, definitions by brute force.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <tuple>

#include "base/rng.h"
#include "eval/wsol/box_accuracy.h"
#include "eval/wsol/pixel_precision.h"
#include "tests/contour_loop.h"
#include "tests/difficult_maps.h"
#include "tests/scratch.h"

using namespace pen;
using namespace pen::eval;
using namespace pen::eval::wsol;

namespace {

using Corners = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
Corners corners(const Box& b) { return {b.xmin, b.ymin, b.xmax, b.ymax}; }
Box box(std::int64_t x0, std::int64_t y0, std::int64_t x1, std::int64_t y1) { return {x0, y0, x1, y1}; }

std::vector<std::uint8_t> bytes_of(const std::vector<double>& scores) {
  std::vector<std::uint8_t> out(scores.size());
  to_bytes(scores, out);
  return out;
}

std::vector<Box> largest_boxes(const std::vector<double>& scores, int height, int width, double interval) {
  const std::vector<std::uint8_t> bytes = bytes_of(scores);
  LevelSets sets;
  sets.set(bytes, height, width);
  const LargestBoxes boxes = sets.largest();
  std::vector<Box> out;
  for (const double t : thresholds(interval)) out.push_back(boxes[static_cast<std::size_t>(t * sets.top())]);
  return out;
}

// Compares the sweep with findContours at every `step`-th cut of a map.
struct Comparison {
  LevelSets sets;
  std::int64_t wrong_largest = 0, wrong_all = 0, cuts = 0, contours = 0;

  void add(const std::vector<std::uint8_t>& map, int height, int width, int step = 1) {
    sets.set(map, height, width);
    const LargestBoxes largest = sets.largest();
    std::vector<std::multiset<Corners>> all(256);
    sets.contours([&](const Box& b, int low, int high) {
      for (int t = low; t <= high; ++t) all[static_cast<std::size_t>(t)].insert(corners(b));
    });
    for (int cut = 0; cut < sets.top(); cut += step) {
      const test::ContourBoxes want = test::contour_boxes(map, height, width, cut);
      const auto t = static_cast<std::size_t>(cut);
      std::multiset<Corners> expected;
      for (const Box& b : want.all) expected.insert(corners(b));
      wrong_largest += largest[t] != want.largest;
      wrong_all += all[t] != expected;
      contours += static_cast<std::int64_t>(want.all.size());
      ++cuts;
    }
    wrong_largest += largest[static_cast<std::size_t>(sets.top())] != Box{};
  }
};

}  // namespace

TEST_CASE("wsol: intersection over union with inclusive corners (wsolevaluation's cases)") {
  CHECK(inclusive_iou({}, {}) == 1.0);
  CHECK(inclusive_iou(box(1, 1, 3, 3), box(1, 1, 3, 3)) == 1.0);
  CHECK(inclusive_iou(box(1, 1, 3, 3), box(4, 4, 5, 5)) == 0.0);
  CHECK(inclusive_iou(box(4, 4, 5, 5), box(1, 1, 3, 3)) == 0.0);
  CHECK(inclusive_iou(box(1, 2, 5, 6), box(3, 1, 4, 5)) == doctest::Approx(8.0 / 27).epsilon(1e-12));
}

TEST_CASE("wsol: boxes in the frame of the map (wsolevaluation's cases)") {
  CHECK(resized(box(1, 2, 4, 3), 10, 20, 35, 10, "x") == box(3, 1, 14, 1));
  CHECK(resized(box(1, 2, 1, 2), 3, 3, 3, 3, "x") == box(1, 2, 1, 2));
  test::check_error(ErrorKind::data, {"val/a.jpg", "(1, 1, 0, 0)"},
                    [] { resized(box(1, 1, 0, 0), 9, 9, 224, 224, "val/a.jpg"); });
  test::check_error(ErrorKind::data, {"(-1, 1, 2, 2)"}, [] { resized(box(-1, 1, 2, 2), 9, 9, 224, 224, "x"); });
  test::check_error(ErrorKind::data, {"0x9"}, [] { resized(box(1, 1, 2, 2), 0, 9, 224, 224, "x"); });
}

TEST_CASE("wsol: the largest contour's box (wsolevaluation's cases)") {
  const std::vector<Box> nothing(5, Box{});
  CHECK(largest_boxes(std::vector<double>(9, 0.0), 3, 3, 0.2) == nothing);
  const std::vector<double> one{0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.4, 0.4, 0.4, 0.6,
                                0.0, 0.4, 1.0, 0.8, 0.6, 0.0, 0.4, 0.4, 0.4, 0.6};
  CHECK(largest_boxes(one, 4, 5, 0.2) ==
        std::vector<Box>{box(1, 1, 4, 3), box(1, 1, 4, 3), box(2, 1, 4, 3), box(2, 2, 4, 3), box(2, 2, 3, 3)});
  const std::vector<double> many{0.4, 0.0, 0.2, 0.2, 0.2, 0.4, 0.4, 0.0, 0.4, 0.0,
                                 0.0, 0.0, 0.0, 0.4, 0.0, 1.0, 0.6, 0.8, 0.2, 0.2};
  CHECK(largest_boxes(many, 4, 5, 0.2) ==
        std::vector<Box>{box(0, 0, 4, 3), box(0, 0, 2, 2), box(0, 3, 3, 3), box(2, 3, 3, 3), box(0, 3, 1, 3)});
}

TEST_CASE("wsol: one sweep finds the boxes that findContours finds at each threshold") {
  Rng rng(7);
  Comparison c;
  for (int round = 0; round < 240; ++round) {
    const int kind = round % 8;
    int height = 1 + static_cast<int>(rng.below(40)), width = 1 + static_cast<int>(rng.below(40));
    if (round < 32) height = 1 + round / 8, width = 1 + round % 5;
    const std::vector<std::uint8_t> map = test::odd_map(kind, height, width, rng);
    c.add(map, height, width, kind == 0 || kind == 6 ? 17 : 1);  // noise has all levels
  }
  CHECK(c.wrong_largest == 0);
  CHECK(c.wrong_all == 0);
  CHECK(c.cuts > 10000);
  CHECK(c.contours > 100000);
}

TEST_CASE("wsol: nasty maps: nested holes, mazes, single pixels, ties, the frame, terraces, diagonals, spirals") {
  Rng rng(17);
  for (int kind = 0; kind < 8; ++kind) {
    CAPTURE(kind);
    Comparison c;
    for (const int side : {5, 12, 13, 31, 64}) c.add(test::nasty_map(kind, side, rng), side, side);
    c.add(test::nasty_map(kind, 224, rng), 224, 224, 3);  // the benchmark's own size
    CHECK(c.wrong_largest == 0);
    CHECK(c.wrong_all == 0);
    CHECK(c.cuts > 100);
    CHECK(c.contours > c.cuts);
  }
}

TEST_CASE("wsol: every map of 4x4 pixels that are on or off, and every one of 3x3 with three levels") {
  Comparison binary, levels;
  std::vector<std::uint8_t> map(16);
  for (std::uint32_t bits = 1; bits < 1u << 16; ++bits) {
    for (std::size_t i = 0; i < 16; ++i) map[i] = static_cast<std::uint8_t>(bits >> i & 1);
    binary.add(map, 4, 4);
  }
  CHECK(binary.cuts == (1 << 16) - 1);
  CHECK(binary.wrong_largest == 0);
  CHECK(binary.wrong_all == 0);
  map.resize(9);
  for (std::uint32_t code = 0; code < 19683; ++code) {
    std::uint32_t rest = code;
    for (std::uint8_t& v : map) v = static_cast<std::uint8_t>(rest % 3), rest /= 3;
    levels.add(map, 3, 3);
  }
  CHECK(levels.cuts > 19683);
  CHECK(levels.wrong_largest == 0);
  CHECK(levels.wrong_all == 0);
}

TEST_CASE("wsol: box accuracy equals its definition, whatever the number of calls") {
  Rng rng(11);
  constexpr int side = 24;
  constexpr std::size_t n = 6;
  std::vector<double> maps;
  std::vector<std::vector<Box>> truth;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < n; ++i) {
    for (const std::uint8_t v : test::odd_map(i % 2 ? 4 : 2, side, side, rng)) maps.push_back(v / 255.0);
    truth.emplace_back();
    for (std::size_t k = 0; k <= i % 3; ++k) {
      const auto x = static_cast<std::int64_t>(rng.below(12)), y = static_cast<std::int64_t>(rng.below(12));
      truth.back().push_back(box(x, y, x + 4 + static_cast<std::int64_t>(rng.below(8)), y + 11));
    }
    names.push_back("image" + std::to_string(i));
  }
  for (const BoxMetric metric : {BoxMetric::v1, BoxMetric::v2}) {
    BoxAccuracy accuracy(metric, 0.007);
    constexpr std::size_t first = 2 * side * side;
    accuracy.add(std::span(maps).first(first), 2, side, side, std::span(truth).first(2), std::span(names).first(2));
    accuracy.add(std::span(maps).subspan(first), n - 2, side, side, std::span(truth).subspan(2),
                 std::span(names).subspan(2));
    const BoxAccuracy::Result result = accuracy.result();
    CHECK(accuracy.cuts().size() == 143);
    for (std::size_t l = 0; l < result.levels.size(); ++l) {
      std::int64_t best = 0;
      for (std::size_t k = 0; k < accuracy.cuts().size(); ++k) {
        std::int64_t correct = 0;
        for (std::size_t i = 0; i < n; ++i) {
          const std::vector<double> map(maps.begin() + static_cast<std::ptrdiff_t>(i * side * side),
                                        maps.begin() + static_cast<std::ptrdiff_t>((i + 1) * side * side));
          const std::vector<std::uint8_t> bytes = bytes_of(map);
          const int cut = static_cast<int>(accuracy.cuts()[k] * *std::max_element(bytes.begin(), bytes.end()));
          const test::ContourBoxes found = test::contour_boxes(bytes, side, side, cut);
          double iou = 0;
          for (const Box& b : metric == BoxMetric::v1 ? std::vector<Box>{found.largest} : found.all)
            for (const Box& g : truth[i]) iou = std::max(iou, inclusive_iou(b, g));
          correct += iou >= result.levels[l] / 100.0;
        }
        CHECK(result.correct[l][k] == correct);
        best = std::max(best, correct);
      }
      CHECK(result.best[l] == static_cast<double>(best) * 100 / n);
      CHECK(result.correct[l][result.best_at[l]] == best);
    }
    const Interval interval = accuracy.interval({200, 0.9, 3});
    CHECK(interval.mean == doctest::Approx(result.performance).epsilon(1e-12));
    CHECK(interval.low <= interval.mean);
    CHECK(interval.high >= interval.mean);
    CHECK(interval.low < interval.high);
  }
}

TEST_CASE("wsol: PxAP equals its definition in O(n^2)") {
  Rng rng(5);
  constexpr std::size_t pixels = 300, n = 3;
  std::vector<double> maps(pixels * n);
  std::vector<std::uint8_t> truth(pixels * n);
  for (std::size_t i = 0; i < maps.size(); ++i) {
    maps[i] = i % 7 == 0 ? static_cast<double>(rng.below(21)) / 20 : rng.uniform();
    truth[i] = std::array<std::uint8_t, 4>{0, 0, 1, 255}[rng.below(4)];
    if (i % 7 != 1) continue;
    maps[i] = static_cast<double>(i / 7 % 100) * 0.01;  // every edge, which belongs to the bin above it
    truth[i] = i % 2;
  }
  const std::vector<std::string> names{"a", "b", "c"};
  for (const double interval : {0.01, 0.05, 0.003, 1.0}) {
    PixelPrecision precision(interval);
    precision.add(maps, truth, n, names);
    // Each edge from the highest down: look at every pixel.
    double expected = 0, before = 0;
    std::vector<double> edges = thresholds(interval);
    edges.push_back(1.0);
    for (std::size_t k = edges.size(); k-- > 0;) {
      double found = 0, called = 0, objects = 0;
      for (std::size_t i = 0; i < maps.size(); ++i) {
        if (truth[i] == 255) continue;
        objects += truth[i] == 1;
        if (maps[i] < edges[k]) continue;
        ++called;
        found += truth[i] == 1;
      }
      if (called > 0) expected += found / called * (found / objects - before);
      before = found / objects;
    }
    CHECK(precision.pxap() == doctest::Approx(100 * expected).epsilon(1e-12));
    const auto curve = precision.curve();
    CHECK(curve.back().recall == 1.0);
    CHECK(curve.back().threshold == 0.0);
    CHECK(precision.interval({100, 0.95, 1}).mean == precision.pxap());
  }
}

TEST_CASE("wsol: PxAP of perfect and constant maps (wsolevaluation's cases)") {
  const std::vector<std::string> name{"val/a.jpg"};
  // Object and background pixels as in its three test masks at 224x224; the rest is ignored.
  const std::vector<std::pair<std::size_t, std::size_t>> masks{{43031, 7145}, {833, 49342}, {347, 13909}};
  for (const auto& [object, background] : masks) {
    std::vector<std::uint8_t> truth(224 * 224, 255);
    std::fill_n(truth.begin(), object, std::uint8_t{1});
    std::fill_n(truth.begin() + static_cast<std::ptrdiff_t>(object), background, std::uint8_t{0});
    for (const double ignored : {0.0, 1.0}) {
      std::vector<double> map(truth.begin(), truth.end());
      std::replace(map.begin(), map.end(), 255.0, ignored);
      PixelPrecision perfect(0.01);
      perfect.add(map, truth, 1, name);
      CHECK(perfect.pxap() == 100.0);
    }
    for (const double value : {0.0, 0.5, 1.0}) {
      PixelPrecision constant(0.01);
      constant.add(std::vector<double>(truth.size(), value), truth, 1, name);
      const double share = static_cast<double>(object) / static_cast<double>(object + background);
      CHECK(constant.pxap() == doctest::Approx(100 * share).epsilon(1e-12));
      CHECK(constant.images()[0].object == static_cast<std::int64_t>(object));
    }
  }
  for (const double value : {0.0, 1.0}) {
    const std::vector<double> map(224 * 224, value);
    PixelPrecision nothing(0.01), everything(0.01);
    nothing.add(map, std::vector<std::uint8_t>(map.size(), 0), 1, name);
    test::check_error(ErrorKind::data, {"no object pixel"}, [&] { nothing.pxap(); });
    everything.add(map, std::vector<std::uint8_t>(map.size(), 1), 1, name);
    CHECK(everything.pxap() == 100.0);
  }
}

TEST_CASE("wsol: maps and truths that make no sense are refused by name, and nothing is added") {
  const std::vector<std::string> names{"good.jpg", "bad.jpg"};
  const std::vector<std::vector<Box>> truth{{box(0, 0, 1, 1)}, {box(1, 1, 2, 2)}};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double value : {nan, 1.5, -0.1, std::numeric_limits<double>::infinity()}) {
    std::vector<double> maps(18, 0.5);
    maps[14] = value;
    BoxAccuracy boxes(BoxMetric::v1, 0.1);
    test::check_error(ErrorKind::data, {"bad.jpg", "element 5"}, [&] { boxes.add(maps, 2, 3, 3, truth, names); });
    test::check_error(ErrorKind::data, {"no images"}, [&] { boxes.result(); });
    PixelPrecision precision(0.1);
    test::check_error(ErrorKind::data, {"bad.jpg", "element 5"},
                      [&] { precision.add(maps, std::vector<std::uint8_t>(18), 2, names); });
    test::check_error(ErrorKind::data, {"no images"}, [&] { precision.pxap(); });
  }
  BoxAccuracy boxes(BoxMetric::v2, 0.1);
  const std::vector<double> maps(18, 0.5);
  test::check_error(ErrorKind::data, {"bad.jpg", "no annotated box"}, [&] {
    boxes.add(maps, 2, 3, 3, std::vector<std::vector<Box>>{truth[0], {}}, names);
  });
  PixelPrecision precision(0.1);
  std::vector<std::uint8_t> seven(18, 1);
  seven[17] = 7;
  test::check_error(ErrorKind::data, {"bad.jpg", "holds 7"}, [&] { precision.add(maps, seven, 2, names); });
  test::check_error(ErrorKind::usage, {"interval"}, [] { thresholds(0); });
}
