// Figures of the sanity checks against scipy and scikit-image, and the lists of layers.
#include <doctest/doctest.h>

#include <cmath>

#include "base/json.h"
#include "eval/sanity/correlation.h"
#include "eval/sanity/hog.h"
#include "eval/sanity/layers.h"
#include "eval/sanity/map_scores.h"
#include "eval/sanity/ssim.h"
#include "tests/compare.h"
#include "tests/golden.h"

using namespace pen;
using namespace pen::eval;
using namespace pen::eval::sanity;
using namespace pen::test;

namespace {

constexpr std::int64_t side = 224;

std::vector<std::vector<float>> masks(const Golden& golden, const std::string& name) {
  const std::vector<std::uint16_t> q = golden.u16(name);
  constexpr auto pixels = static_cast<std::size_t>(side * side);
  std::vector<std::vector<float>> out(q.size() / pixels, std::vector<float>(pixels));
  for (std::size_t i = 0; i < q.size(); ++i) out[i / pixels][i % pixels] = static_cast<float>(q[i]) / 65535.0f;
  return out;
}

}  // namespace

TEST_CASE("sanity: the four figures are scipy's and scikit-image's") {
  const Golden golden("sanity.safetensors");
  const auto a = masks(golden, "a_q16"), b = masks(golden, "b_q16");
  REQUIRE(a.size() == 7);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto got = ReferenceMap(a[i], side, Protocol::paper).compare(b[i]).values();
    for (std::size_t k = 0; k < got.size(); ++k) {
      const std::string name(MapScores::names[k]);
      const double want = golden.f64(name).at(i);
      CAPTURE(i);
      CAPTURE(name);
      CAPTURE(got[k]);
      CAPTURE(want);
      CHECK(std::isnan(got[k]) == std::isnan(want));
      // Sums in another order than NumPy's pairwise ones; everything before them is equal.
      if (!std::isnan(want)) CHECK(std::abs(got[k] - want) <= 1e-13);
    }
  }
}

TEST_CASE("sanity: the HOG descriptor is scikit-image's to the last bit of float32") {
  const Golden golden("sanity.safetensors");
  const std::vector<float> got = hog(masks(golden, "a_q16")[0], side, side);
  const std::vector<double> want = golden.f64("hog_a0");
  REQUIRE(got.size() == want.size());
  std::size_t different = 0;
  for (std::size_t i = 0; i < got.size(); ++i) different += static_cast<double>(got[i]) != want[i];
  CHECK(different == 0);
}

TEST_CASE("sanity: the layers of a ResNet-50 at both depths, last first") {
  const Golden golden("sanity.safetensors");
  Rng rng(1);
  const auto network = make_classifier({"resnet50", 10, 0.125}, rng);
  for (const int depth : {1, 2}) {
    const rapidjson::Document list = parse_json(golden.meta(str("layers_depth", depth)), "layers");
    std::vector<std::string> want;
    for (const auto& name : list.GetArray()) want.emplace_back(name.GetString());
    CHECK(randomised_layers(*network, depth) == want);
  }
}

TEST_CASE("sanity: odd sides, another range and window, as scikit-image 0.26 and scipy 1.17 answer") {
  constexpr std::int64_t height = 61, width = 50;
  const std::vector<float> a = fill("odd.a", {height, width});
  std::vector<float> b = fill("odd.b", {height, width});
  for (std::size_t i = 0; i < b.size(); ++i) b[i] += a[i];
  const std::vector<float> ha = hog(a, height, width), hb = hog(b, height, width);
  REQUIRE(ha.size() == 81);  // one block
  CHECK(static_cast<double>(ha[7]) == 0.12856997549533844);
  CHECK(static_cast<double>(ha[40]) == 0.08884290605783463);
  CHECK(std::abs(pearson(std::span(ha), std::span(hb)) - 0.1935786919912357) < 1e-14);
  CHECK(std::abs(ssim(a, b, height, width) - 0.2787661886111719) < 1e-14);
  CHECK(std::abs(ssim(a, b, height, width, {.data_range = 0.37}) - 0.25087222394847225) < 1e-14);
  CHECK(std::abs(ssim(a, b, height, width, {.window = 7, .data_range = 0.37}) - 0.2549002901540304) < 1e-14);
  std::vector<float> p = a, q = b;  // many ties
  for (float& v : p) v = std::nearbyint(v * 4) / 4;
  for (float& v : q) v = std::nearbyint(v * 4) / 4;
  CHECK(std::abs(spearman(p, q) - 0.6802318523565849) < 1e-14);
}
