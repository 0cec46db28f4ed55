// The parameter randomisation test: what is randomised, what is left alone, what the figures must be.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/json.h"
#include "eval/attribution/registry.h"
#include "eval/sanity/correlation.h"
#include "eval/sanity/hog.h"
#include "eval/sanity/mprt.h"
#include "eval/sanity/report.h"
#include "eval/sanity/ssim.h"
#include "tests/tiny_networks.h"

using namespace pen;
using namespace pen::eval;
using namespace pen::eval::sanity;
using namespace pen::test;

namespace {

constexpr std::int64_t side = 64;

std::vector<float> noise(std::size_t count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> out(count);
  for (float& v : out) v = static_cast<float>(rng.uniform());
  return out;
}

// A masker on a narrow ResNet-18 with random weights and statistics, and two images.
struct Tiny {
  ScratchFolder folder;
  std::vector<float> images = noise(2 * side * side * 3, 1);
  std::vector<std::int64_t> labels{0, 1};
  std::vector<std::string> paths{"a.png", "b.png"};
  Batch batch{2, side, images, labels, paths};
  std::shared_ptr<const MaskMaker> masker;

  Tiny() {
    write_tiny(folder / "mask.chk");
    // Not fused: what is randomised has to be what runs.
    masker =
        std::make_shared<MaskMaker>(folder / "mask.chk", ClassifierSource{}, "", std::nullopt, Device{}, "", false);
    // As after training: no parameter has the value that it started with.
    Rng rng(7);
    for (NamedTensor& t : network().state())
      if (t.tensor.dtype() == DType::f32 && t.tensor.shape().size() == 1) init::uniform(t.tensor, 1.0, rng);
    for (NamedTensor& t : network().buffers())
      if (t.name.ends_with("running_var")) init::constant(t.tensor, 1.5);
  }
  pen::Classifier& network() const { return *masker->classifier().network; }
};

bool same(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b, const std::string& but_below = "-") {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].name.starts_with(but_below + ".") || a[i].tensor.dtype() == DType::i64) continue;
    if (a[i].tensor.to_vector<float>() != b[i].tensor.to_vector<float>()) return false;
  }
  return true;
}

const Heading& find(const std::vector<Heading>& all, const std::string& kind, const std::string& layer) {
  for (const Heading& h : all)
    if (h.kind == kind && h.layer == layer) return h;
  FAIL("no heading " << kind << " " << layer);
  return all.front();
}

}  // namespace

TEST_CASE("sanity: layers are replaced one by one and put back to the bit") {
  const Tiny tiny;
  const auto before = copy_state(tiny.network());
  for (const Protocol protocol : {Protocol::paper, Protocol::strict}) {
    {
      Randomiser randomiser(tiny.network(), protocol, 3);
      for (const std::string& layer : randomised_layers(tiny.network(), 2)) {
        CAPTURE(layer);
        randomiser.randomise(layer);
        CHECK(same(before, tiny.network().state(), layer));
        CHECK_FALSE(same(before, tiny.network().state()));
        const auto once = copy_state(tiny.network());
        randomiser.restore(layer);
        CHECK(same(before, tiny.network().state()));
        randomiser.randomise(layer);
        CHECK(same(once, tiny.network().state()));
        randomiser.restore(layer);
      }
      randomiser.randomise("conv1");
      randomiser.randomise("layer4");
      check_error(ErrorKind::usage, {"layer9"}, [&] { randomiser.randomise("layer9"); });
    }
    CHECK(same(before, tiny.network().state()));
  }
}

TEST_CASE("sanity: strict layers start anew, the paper's keep statistics and are too small") {
  const Tiny tiny;
  const auto spread = [](Module& m, const std::string& name) {
    double squares = 0;
    std::vector<float> values;
    for (const NamedTensor& p : m.state())
      if (p.name == name) values = p.tensor.to_vector<float>();
    for (const float v : values) squares += static_cast<double>(v) * static_cast<double>(v);
    return std::sqrt(squares / static_cast<double>(values.size()));
  };
  // layer4.0.conv1 of a ResNet-18 of width 1/8: K = 64, C = 32, 3x3.
  {
    Randomiser strict(tiny.network(), Protocol::strict, 3);
    for (const std::string& layer : randomised_layers(tiny.network(), 1)) strict.randomise(layer);
    CHECK(spread(tiny.network(), "layer4.0.conv1.weight") == doctest::Approx(std::sqrt(2.0 / (9 * 64))).epsilon(0.02));
    CHECK(spread(tiny.network(), "bn1.weight") == 1);
    CHECK(spread(tiny.network(), "bn1.bias") == 0);
    CHECK(spread(tiny.network(), "bn1.running_mean") == 0);
    CHECK(spread(tiny.network(), "bn1.running_var") == 1);
  }
  {
    Randomiser paper(tiny.network(), Protocol::paper, 3);
    for (const std::string& layer : randomised_layers(tiny.network(), 1)) paper.randomise(layer);
    CHECK(spread(tiny.network(), "layer4.0.conv1.weight") ==
          doctest::Approx(std::sqrt(2.0 / (64 * 32 * 3))).epsilon(0.02));
    CHECK(spread(tiny.network(), "bn1.running_var") == 1.5);
    CHECK(spread(tiny.network(), "bn1.weight") == doctest::Approx(std::sqrt(1.0 / 8 / 3)).epsilon(0.5));
    CHECK(spread(tiny.network(), "fc.weight") == doctest::Approx(std::sqrt(1.0 / 64 / 3)).epsilon(0.2));
  }
  const auto drawn = [&](std::uint64_t seed) {
    Randomiser randomiser(tiny.network(), Protocol::strict, seed);
    randomiser.randomise("conv1");
    return copy_state(tiny.network());
  };
  CHECK(same(drawn(3), drawn(3)));
  CHECK_FALSE(same(drawn(3), drawn(4)));
}

TEST_CASE("sanity: randomising nothing gives 1, and what a masker does not read changes nothing") {
  const Tiny tiny;
  for (const Protocol protocol : {Protocol::paper, Protocol::strict}) {
    Mprt mprt(masker_subject(tiny.masker), {protocol, 2, true, true, 5});
    std::int64_t maps = 0;
    REQUIRE(mprt.add(tiny.batch, [&](std::int64_t n) { return (maps += n) > 0; }));
    REQUIRE(mprt.add(tiny.batch));
    CHECK(maps == mprt.maps_of(2));
    CHECK(mprt.headings().size() == 2 * (1 + mprt.layers().size()));
    for (const std::string kind : {"cascading", "independent"}) {
      const Heading& normal = find(mprt.headings(), kind, "normal");
      REQUIRE(normal.images.size() == 4);
      for (const MapScores& image : normal.images)
        for (const double value : image.values()) CHECK(value == 1);
    }
    // The classification layer has no part in the mask.
    for (const double value : find(mprt.headings(), "cascading", "fc").images[1].values()) CHECK(value == 1);
    const double ssim_of_sigmoid = find(mprt.headings(), "independent", "fc").images[1].ssim;
    if (protocol == Protocol::strict)
      CHECK(ssim_of_sigmoid == 1);
    else
      CHECK(ssim_of_sigmoid < 0.999);  // masks against logits
    // The first layer of both kinds is one and the same state; the last one of the cascade is not.
    CHECK(find(mprt.headings(), "cascading", "layer2.1").images[0].values() !=
          find(mprt.headings(), "cascading", "fc").images[0].values());
    CHECK(std::abs(find(mprt.headings(), "cascading", "conv1").images[0].spearman) < 0.9);
    CHECK(find(mprt.headings(), "cascading", "conv1").images[0].values() !=
          find(mprt.headings(), "independent", "conv1").images[0].values());
    // The same batch again scores the same: the network was put back.
    CHECK(find(mprt.headings(), "cascading", "conv1").images[0].spearman ==
          find(mprt.headings(), "cascading", "conv1").images[2].spearman);
  }
}

TEST_CASE("sanity: the cascade keeps what it randomised, an independent layer is put back before the next") {
  const Tiny tiny;
  const auto before = copy_state(tiny.network());
  Mprt mprt(masker_subject(tiny.masker), {Protocol::strict, 1, true, true, 5});
  std::vector<std::string> random;  // so far, in the cascade
  std::size_t seen = 0;
  const auto changed = [&](const std::string& layer) {
    const auto now = tiny.network().state();
    for (std::size_t i = 0; i < now.size(); ++i)
      if (now[i].name.starts_with(layer + ".") && now[i].tensor.dtype() != DType::i64 &&
          now[i].tensor.to_vector<float>() != before[i].tensor.to_vector<float>())
        return true;
    return false;
  };
  REQUIRE(mprt.add(tiny.batch, {}, [&](std::size_t i, const Batch&) {
    const Heading& heading = mprt.headings()[i];
    CAPTURE(heading.kind);
    CAPTURE(heading.layer);
    ++seen;
    if (heading.layer == "normal") {
      CHECK(same(before, tiny.network().state()));
      return;
    }
    const bool cascading = heading.kind == "cascading";
    if (cascading) random.push_back(heading.layer);
    for (const std::string& layer : mprt.layers()) {
      const bool expected =
          cascading ? std::find(random.begin(), random.end(), layer) != random.end() : layer == heading.layer;
      CHECK_MESSAGE(changed(layer) == expected, layer);
    }
  }));
  CHECK(seen == mprt.headings().size());
}

TEST_CASE("sanity: a batch that is given up leaves the network whole and no figures") {
  const Tiny tiny;
  const auto before = copy_state(tiny.network());
  Mprt mprt(masker_subject(tiny.masker), {});
  std::int64_t maps = 0;
  CHECK_FALSE(mprt.add(tiny.batch, [&](std::int64_t n) { return (maps += n) < 8; }));
  CHECK(same(before, tiny.network().state()));
  for (const Heading& h : mprt.headings()) CHECK(h.images.empty());
}

TEST_CASE("sanity: undefined figures are NaN, and left out of means and counted") {
  const std::vector<float> map = noise(side * side, 2), flat(side * side, 0.25f);
  std::vector<float> broken = map;
  broken[17] = std::nanf("");
  const ReferenceMap reference(map, side, Protocol::strict);
  const MapScores against_flat = reference.compare(flat);
  CHECK(std::isnan(against_flat.spearman));
  CHECK(std::isnan(against_flat.abs_spearman));
  CHECK(std::isnan(against_flat.hog_correl));
  CHECK(std::isfinite(against_flat.ssim));
  for (const double value : reference.compare(broken).values()) CHECK(std::isnan(value));
  for (const double value : ReferenceMap(broken, side, Protocol::paper).compare(map).values()) CHECK(std::isnan(value));
  // Range 0 makes SSIM 0/0.
  CHECK(std::isnan(ReferenceMap(flat, side, Protocol::strict).compare(flat).ssim));

  const std::vector<MapScores> images{reference.compare(map), against_flat, reference.compare(map)};
  const Mean left_out = mean_of(images, 0, false, {});
  CHECK(left_out.mean == 1);
  CHECK(left_out.defined == 2);
  CHECK(left_out.undefined == 1);
  CHECK(left_out.interval->low == 1);
  CHECK(std::isnan(mean_of(images, 0, true, {}).mean));
  CHECK(mean_of(images, 3, true, {}).undefined == 0);
  CHECK(std::isnan(mean_of(std::span(images).subspan(1, 1), 0, false, {}).mean));
}

TEST_CASE("sanity: known answers of the figures") {
  // scipy.stats.rankdata([3, 1, 3, 2, 3]) and spearmanr([3, 1, 3, 2, 3], [1, 2, 3, 4, 5]).
  const std::vector<float> tied{3, 1, 3, 2, 3}, straight{1, 2, 3, 4, 5};
  CHECK(average_ranks(tied) == std::vector<double>{4, 1, 4, 2, 4});
  CHECK(spearman(tied, straight) == doctest::Approx(0.11180339887498948).epsilon(1e-14));
  const std::vector<float> down{5, 4, 3, 2, 1};
  CHECK(spearman(straight, down) == -1);
  // A diagonal ramp of slope 1 on both axes: every inner gradient points to 45 degrees, bin 2 of 9.
  std::vector<float> ramp(side * side);
  for (std::int64_t y = 0; y < side; ++y)
    for (std::int64_t x = 0; x < side; ++x) ramp[static_cast<std::size_t>(y * side + x)] = static_cast<float>(x + y);
  const std::vector<float> bins = hog(ramp, side, side);
  CHECK(bins.size() == 2 * 2 * 81);
  for (std::size_t i = 0; i < bins.size(); ++i)
    if (i % 9 != 2 && i % 9 != 0 && i % 9 != 4) CHECK(bins[i] == 0);  // borders: gradients along one axis
  // A shift of the mean alone: windows are equal but for it, S = (2 m (m + d) + C1) / (m^2 + (m + d)^2 + C1).
  const std::vector<float> low(100, 0.5f), high(100, 1.0f);
  CHECK(ssim(low, high, 10, 10) == doctest::Approx((2 * 0.5 + 4e-4) / (1.25 + 4e-4)).epsilon(1e-6));
  CHECK(ssim(ramp, ramp, side, side) == 1);
  check_error(ErrorKind::usage, {"side 32", "48"}, [] { ReferenceMap(noise(1024, 1), 32, Protocol::paper); });
}

TEST_CASE("sanity: strict SSIM does not depend on the maps' unit") {
  const std::vector<float> a = noise(side * side, 3), b = noise(side * side, 4);
  std::vector<float> small_a = a, small_b = b;
  for (float& v : small_a) v /= 1024;
  for (float& v : small_b) v /= 1024;
  const auto score = [](const auto& x, const auto& y, Protocol p) { return ReferenceMap(x, side, p).compare(y).ssim; };
  CHECK(score(a, b, Protocol::strict) == doctest::Approx(score(small_a, small_b, Protocol::strict)).epsilon(1e-5));
  // With the paper's fixed range tiny maps are all alike.
  CHECK(score(a, b, Protocol::paper) < 0.2);
  CHECK(score(small_a, small_b, Protocol::paper) > 0.99);
}

TEST_CASE("sanity: every attribution method by name") {
  const Tiny tiny;
  for (const std::string& name : attribution_names()) {
    CAPTURE(name);
    const auto before = copy_state(tiny.network());
    AttributionOptions how;
    how.samples = 2;
    how.steps = 2;
    const Subject subject = attribution_subject(attribution_method(name), how, {TargetRule::Kind::top1, 0},
                                                tiny.masker->classifier().network, side);
    Mprt mprt(subject, {Protocol::strict, 1, true, false, 5});
    REQUIRE(mprt.add(tiny.batch));
    CHECK(same(before, tiny.network().state()));
    const Heading& normal = find(mprt.headings(), "cascading", "normal");
    for (const MapScores& image : normal.images)
      for (const double value : image.values()) CHECK((value == 1 || std::isnan(value)));
    const Heading& all = find(mprt.headings(), "cascading", "conv1");
    const bool reads_network = attribution_method(name).needs != Needs::image;
    for (const MapScores& image : all.images) CHECK((image.spearman == 1) == !reads_network);
  }
}

TEST_CASE("sanity: maps are about the class that the original network predicts, whatever is random") {
  const Tiny tiny;
  const auto network = tiny.masker->classifier().network;
  std::vector<std::int64_t> told;
  Subject subject = attribution_subject(attribution_method("gradient"), {}, {TargetRule::Kind::top1, 0}, network, side);
  const std::vector<std::int64_t> predicted = subject.targets(tiny.batch);
  CHECK(predicted == ops::argmax(Tensor::from(logits_of(*network, tiny.images, 2, side), {2, 2})));
  const auto inner = subject.maps;
  subject.maps = [&](const Batch& batch, MapForm form) {
    CHECK(std::vector<std::int64_t>(batch.labels.begin(), batch.labels.end()) == predicted);
    return inner(batch, form);
  };
  Mprt mprt(subject, {Protocol::strict, 1, true, false, 5});
  CHECK(mprt.add(tiny.batch));
  check_error(ErrorKind::usage, {"class 9", "0 to 1"}, [&] {
    attribution_subject(attribution_method("gradient"), {}, {TargetRule::Kind::fixed, 9}, network, side);
  });
}

namespace {

// A network whose layers' names begin with each other's.
struct Numbered : Module {
  explicit Numbered(Rng& rng) {
    for (int i = 0; i < 12; ++i) features.emplace<Linear>(2, 2, rng);
    add_child("features", features);
    add_child("feature", single);
    add_child("empty", empty);
  }
  struct List : Module {
    template <class T, class... Args>
    void emplace(Args&&... args) {
      items.push_back(std::make_unique<T>(std::forward<Args>(args)...));
      add_child(std::to_string(items.size() - 1), *items.back());
    }
    std::vector<std::unique_ptr<Module>> items;
  } features;
  BatchNorm2d single{3};
  Module empty;
};

}  // namespace

TEST_CASE("sanity: names that begin with each other are layers of their own, and what has no parameters is none") {
  Rng rng(1);
  const Numbered network(rng);
  const std::vector<std::string> names = randomised_layers(network, 2);
  REQUIRE(names.size() == 13);
  CHECK(names.front() == "feature");
  CHECK(names[1] == "features.11");
  CHECK(names.back() == "features.0");
  CHECK(randomised_layers(network, 1) == std::vector<std::string>{"feature", "features"});
  check_error(ErrorKind::usage, {"depth 0"}, [&] { randomised_layers(network, 0); });
}

TEST_CASE("sanity: results say what is not defined") {
  Report report;
  report.check = "mprt";
  report.protocol = "strict";
  const double none = std::nan("");
  report.headings = {{"cascading", "normal", {{1, 1, 1, 1}, {1, 1, 1, 1}}},
                     {"cascading", "fc", {{0.5, none, none, 0.25}, {0.25, 0.5, none, 0.75}}}};
  report.paths = {"a,b.png", "c.png"};
  report.bootstrap = {20, 0.9, 1};
  for (const bool nan_counts : {false, true}) {
    report.nan_counts = nan_counts;
    report.means = means_of(report.headings, nan_counts, report.bootstrap);
    const rapidjson::Document scores = parse_json(scores_json(report), "scores");
    const auto& fc = scores["cascading"]["fc"];
    CHECK(fc["spearman"].GetDouble() == 0.375);
    CHECK(fc["ssim"].GetDouble() == 0.5);
    CHECK(fc["hog_correl"].IsNull());
    if (nan_counts)
      CHECK(fc["abs_spearman"].IsNull());
    else
      CHECK(fc["abs_spearman"].GetDouble() == 0.5);
    const rapidjson::Document details = parse_json(details_json(report), "details");
    CHECK(details["headings"][1]["abs_spearman"]["undefined"].GetInt64() == 1);
    CHECK(details["headings"][1]["hog_correl"]["images"].GetInt64() == 0);
    CHECK(details["headings"][1]["ssim"]["low"].GetDouble() >= 0.25);
  }
  CHECK(images_csv(report) ==
        "kind,layer,path,spearman,abs_spearman,hog_correl,ssim\n"
        "cascading,normal,\"a,b.png\",1,1,1,1\ncascading,normal,c.png,1,1,1,1\n"
        "cascading,fc,\"a,b.png\",0.5,,,0.25\ncascading,fc,c.png,0.25,0.5,,0.75\n");
  CHECK(curves_svg(report, "independent").empty());
}
