// Running attribution methods by name: batches, targets, maps that say nothing, and what is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "eval/attribution/attributor.h"
#include "eval/attribution/probe.h"
#include "tensor/memory.h"
#include "tests/compare.h"
#include "tests/golden_state.h"
#include "tests/paths.h"
#include "tests/scratch.h"
#include "tests/toy_classifier.h"

using namespace pen;
using namespace pen::eval;

namespace {

constexpr std::int64_t S = 64, N = 3;

std::shared_ptr<pen::Classifier> small_resnet() {
  Rng rng(3);
  std::shared_ptr<pen::Classifier> network = make_classifier({.arch = "resnet18", .classes = 5, .width = 0.0625}, rng);
  test::fill_state(*network, "toy.", 0);
  network->set_requires_grad(false);
  network->eval();
  return network;
}

struct Images {
  std::vector<float> pixels;
  std::vector<std::int64_t> labels{3, 1, 2};
  std::vector<std::string> paths{"a.png", "b.png", "c.png"};
  Images() {
    for (int i = 0; i < N; ++i) {
      const auto one =
          test::fill_activation("image" + std::to_string(i), {1, 3, S, S}, 0, DType::f32, 2).to_vector<float>();
      pixels.insert(pixels.end(), one.begin(), one.end());
    }
  }
  Batch all() const { return {N, S, pixels, labels, paths}; }
  Batch one(std::size_t i) const {
    return {1, S, std::span(pixels).subspan(i * S * S * 3, S * S * 3), std::span(labels).subspan(i, 1),
            std::span(paths).subspan(i, 1)};
  }
};

// Fewer passes than the methods' own choices.
AttributionOptions quick(const Method& method, std::int64_t internal_batch) {
  return {.layer = method.at_layer ? "layer1" : "",
          .internal_batch = internal_batch,
          .samples = 6,
          .steps = 4,
          .window = 32,
          .stride = 32};
}

template <class F>
Error error_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  FAIL("nothing was thrown");
  return {ErrorKind::run, ""};
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("attributor: every method gives the same map in a batch as alone, whatever passes together") {
  const auto network = small_resnet();
  const Images images;
  for (const Method& method : attribution_methods()) {
    CAPTURE(method.name);
    Attributor together(method, quick(method, 2), {}, network, S), apart(method, quick(method, 16), {}, network, S);
    std::int64_t progress = 0;
    together.on_progress([&](std::int64_t n) { progress += n; });
    const Maps all = together(images.all());
    CHECK(progress == N);
    REQUIRE(all.maps.size() == N * S * S);
    REQUIRE(all.logits.size() == N * 5);
    for (std::size_t i = 0; i < N; ++i) {
      const Maps one = apart(images.one(i));
      const auto part = [&](const std::vector<float>& v, std::size_t each) {
        return std::vector<double>(v.begin() + static_cast<std::ptrdiff_t>(i * each),
                                   v.begin() + static_cast<std::ptrdiff_t>((i + 1) * each));
      };
      const test::Difference map = test::compare_l2(test::to_double(one.maps), part(all.maps, S * S), 1e-4);
      const test::Difference logits = test::compare_max(test::to_double(one.logits), part(all.logits, 5), 1e-5);
      CHECK_MESSAGE(map.ok, map.message);
      CHECK_MESSAGE(logits.ok, logits.message);
    }
    CHECK(together.dead().images == N);
    CHECK(together.warning().empty());
  }
}

TEST_CASE(
    "attributor: memory is flat: after the first batches a method asks the system for no more and holds nothing") {
  const auto network = small_resnet();
  const Images images;
  for (const Method& method : attribution_methods()) {
    CAPTURE(method.name);
    Attributor attributor(method, quick(method, 2), {}, network, S);
    for (int i = 0; i < 2; ++i) attributor(images.all());
    const MemoryStats before = memory_stats({});
    for (int i = 0; i < 3; ++i) attributor(images.all());
    const MemoryStats after = memory_stats({});
    CHECK(after.system_allocations == before.system_allocations);
    CHECK(after.live == before.live);
  }
}

TEST_CASE("attributor: label, predicted class or one class for all") {
  const auto network = small_resnet();
  const Images images;
  const Method& method = attribution_method("gradient");
  const auto run = [&](const char* target, std::vector<std::int64_t> labels) {
    Batch batch = images.all();
    batch.labels = labels;
    return Attributor(method, {}, parse_target(target), network, S)(batch);
  };
  const Maps label = run("label", {3, 1, 2}), top = run("top1", {});
  std::vector<std::int64_t> predicted;
  for (std::size_t i = 0; i < N; ++i)
    predicted.push_back(std::max_element(label.logits.begin() + static_cast<std::ptrdiff_t>(5 * i),
                                         label.logits.begin() + static_cast<std::ptrdiff_t>(5 * (i + 1))) -
                        (label.logits.begin() + static_cast<std::ptrdiff_t>(5 * i)));
  CHECK(top.maps == run("label", predicted).maps);
  CHECK(run("3", {}).maps == run("label", {3, 3, 3}).maps);
  CHECK(run("3", {}).maps != label.maps);
}

TEST_CASE("attributor: maps that are zero or not finite become zeros and are counted") {
  const std::vector<float> pixels(2 * 4 * 4 * 3, 0.5f);
  const std::vector<std::string> good{"a.png", "b.png"}, bad{"c.png", "d.png"};
  for (const char* name : {"gradient", "grad_cam", "smooth_grad", "layer_cam", "grad_cam_pp", "eigen_cam"}) {
    CAPTURE(name);
    // Class 0 reads nothing of what the network sees, class 1 does.
    const auto toy = std::make_shared<test::ToyClassifier>(4, 1, 2, std::vector<double>{1, 1, 1},
                                                           std::vector<double>{0, 1}, DType::f32);
    const bool blind = std::string(name) == "eigen_cam";  // to classes
    Attributor attributor(attribution_method(name), {.layer = {}, .samples = 2}, {}, toy, 4);
    const std::vector<std::int64_t> labels{1, 0};
    const Maps first = attributor({2, 4, pixels, labels, good});
    CHECK(first.maps[0] > 0);
    for (std::size_t i = 16; i < 32; ++i) CHECK((first.maps[i] == 0) == !blind);
    for (const NamedTensor& p : toy->parameters()) {
      Tensor weights = p.tensor;
      weights.copy_from(Tensor::full(weights.shape(), NAN, DType::f32));
    }
    for (const float v : attributor({2, 4, pixels, labels, bad}).maps) CHECK(v == 0);
    CHECK(attributor.dead().zero == !blind);
    CHECK(attributor.dead().not_finite == 2);
    CHECK(attributor.warning() ==
          std::string(name) + (blind ? ": of 4 maps 2 not finite: zeros instead, first that of 'c.png'"
                                     : ": of 4 maps 1 were zero everywhere and 2 not finite: zeros instead, first "
                                       "that of 'b.png'"));
  }
}

TEST_CASE("attributor: smoothing keeps constants and sums, and follows the side") {
  const Tensor flat = Tensor::full({1, 20, 20}, 3, DType::f32);
  for (const float v : finished_maps(flat, 20, 0.1).to_vector<float>()) CHECK(v == doctest::Approx(3));
  std::vector<float> peak(41 * 41, 0.0f);
  peak[20 * 41 + 20] = 1;
  const auto out = finished_maps(Tensor::from(peak, {1, 41, 41}), 41, 2.0 / 41).to_vector<float>();
  double sum = 0, variance = 0;
  for (std::size_t k = 0; k < out.size(); ++k) {
    const double d = static_cast<double>(k % 41) - 20;
    sum += static_cast<double>(out[k]);
    variance += d * d * static_cast<double>(out[k]);
  }
  CHECK(sum == doctest::Approx(1));
  CHECK(variance == doctest::Approx(4).epsilon(0.01));
  CHECK_THROWS_AS(finished_maps(flat, 20, 2), Error);
}

TEST_CASE("attributor: maps are enlarged with aligned corners") {
  const Tensor map = Tensor::from<float>({0, 1, 2, 3}, {1, 2, 2});
  const auto out = finished_maps(map, 5, 0).to_vector<float>();
  CHECK((out[0] == 0 && out[4] == 1 && out[20] == 2 && out[24] == 3 && out[12] == 1.5f && out[1] == 0.25f));
}

TEST_CASE("attributor: maps are scaled to [0, 1] one by one") {
  std::vector<float> maps{-2, 0, 2, 6, 5, 5, 5, 5};
  stretch_to_unit(maps, 2);
  CHECK(maps == std::vector<float>{0, 0.25f, 0.5f, 1, 0, 0, 0, 0});
  CHECK_THROWS_AS(stretch_to_unit(maps, 3), Error);
}

TEST_CASE("attributor: layers are listed in order; unknown ones are refused with the nearest") {
  const auto network = small_resnet();
  const std::vector<Layer> layers = layers_of(*network, S);
  CHECK(layers.front().name == "conv1");
  CHECK(layers.front().shape == Shape{32, 32, 4});
  CHECK(layers.back().name == "layer4");
  CHECK(layers.back().shape == Shape{2, 2, 32});
  CHECK(std::none_of(layers.begin(), layers.end(), [](const Layer& l) { return l.name == "fc"; }));
  for (const Layer& layer : layers) {
    Attributor at(attribution_method("grad_cam"), {.layer = layer.name}, {}, network, S);
    CHECK(at(Images().one(0)).maps.size() == S * S);
  }
  const auto refused = [&](const std::string& name) {
    return error_of([&] { Attributor(attribution_method("grad_cam"), {.layer = name}, {}, network, S); });
  };
  const Error typo = refused("layr4");
  CHECK(typo.kind() == ErrorKind::usage);
  CHECK(contains(typo.what(), "there is no layer 'layr4'"));
  CHECK(contains(typo.hint(), "nearest layers: layer4, "));
  CHECK(contains(refused("layer4.7").hint(), "layer4.1"));
  CHECK(contains(refused("fc").what(), "no feature maps come out of layer 'fc'"));
}

TEST_CASE("attributor: the stages of every network are layers, and the last one is read by default") {
  for (const auto& [arch, stages] :
       {std::pair<std::string, std::vector<std::string>>{"resnet18", {"layer1", "layer2", "layer3", "layer4"}},
        {"resnet20", {"layer1", "layer2", "layer3"}},
        {"mobilenet_v1", {"stage1", "stage2", "stage3"}}}) {
    Rng rng(3);
    const auto network = make_classifier({.arch = arch, .classes = 5, .width = 0.25}, rng);
    network->eval();
    const ClassifierOutput out = network->forward(Tensor::zeros({1, S, S, 3}));
    std::vector<Layer> found;
    for (const Layer& layer : layers_of(*network, S))
      if (std::find(stages.begin(), stages.end(), layer.name) != stages.end()) found.push_back(layer);
    CAPTURE(arch);
    REQUIRE(found.size() == stages.size());
    for (std::size_t i = 0; i < stages.size(); ++i) {
      const Tensor& tap = out.taps[out.taps.size() - stages.size() + i];
      CHECK(found[i].name == stages[i]);
      CHECK(found[i].shape == Shape{tap.size(1), tap.size(2), tap.size(3)});
      CHECK(checked_layer(*network, S, stages[i]) == stages[i]);
    }
    CHECK(default_layer(*network, S) == stages.back());
  }
}

TEST_CASE("attributor: classes out of range and unknown methods are refused") {
  const auto network = small_resnet();
  const Method& method = attribution_method("grad_cam");
  const Error fixed = error_of([&] { Attributor(method, {}, parse_target("5"), network, S); });
  CHECK(fixed.kind() == ErrorKind::usage);
  CHECK(contains(fixed.what(), "class 5 cannot be explained: the classifier has classes 0 to 4"));
  Images images;
  images.labels[1] = 7;
  const Error label = error_of([&] { Attributor(method, {}, {}, network, S)(images.all()); });
  CHECK(label.kind() == ErrorKind::data);
  CHECK(contains(label.what(), "label 7 cannot be explained"));
  for (const char* bad : {"-1", "cat", "", "1.5"}) CHECK_THROWS_AS(parse_target(bad), Error);

  const Error unknown = error_of([] { attribution_method("grad_kam"); });
  CHECK(unknown.kind() == ErrorKind::usage);
  CHECK(contains(unknown.what(), "there is no attribution method 'grad_kam'"));
  CHECK(contains(unknown.hint(), "grad_cam"));
  CHECK(contains(error_of([] { attribution_method("zzzzzzzzzzzzzz"); }).hint(), "known: gradient, "));
  CHECK(&attribution_method("torchray_grad_cam") == &method);
  CHECK(&attribution_method("torchray_guided_backprop") == &attribution_method("guided-backprop"));
}

TEST_CASE("attributor: the list of methods is complete and each entry says where it comes from") {
  const std::vector<std::string> wanted = {"gradient",
                                           "input_x_gradient",
                                           "guided_backprop",
                                           "deconvnet",
                                           "grad_cam",
                                           "linear_approx",
                                           "grad_cam_pp",
                                           "layer_cam",
                                           "hires_cam",
                                           "eigen_cam",
                                           "score_cam",
                                           "cam",
                                           "smooth_grad",
                                           "integrated_gradients",
                                           "rise",
                                           "occlusion",
                                           "random",
                                           "sobel",
                                           "center",
                                           "gaussian"};
  CHECK(attribution_methods().size() == wanted.size());
  const std::string docs =
      test::slurp((std::filesystem::path(test::tests_folder()).parent_path() / "docs/attribution.md").string());
  for (const std::string& name : wanted) CHECK_MESSAGE(find_attribution(name), name);
  for (const Method& method : attribution_methods()) {
    CHECK(!method.formula.empty());
    CHECK(!method.paper.empty());
    CHECK(!method.cost.empty());
    CHECK(method.at_layer == method.reads("layer"));
    // The documentation has the same line; | ends a cell there.
    std::string row = "| " + std::string(method.name) + " |";
    for (const std::string_view cell : {method.formula, method.paper, method.cost, method.options}) {
      row += ' ';
      for (const char c : cell) row += c == '|' ? std::string("\\|") : std::string(1, c);
      row += cell.empty() ? "|" : " |";
    }
    CHECK_MESSAGE(contains(docs, row), row);
  }
}
