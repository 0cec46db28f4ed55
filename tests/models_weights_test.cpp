// Real weights of other classifiers: recognised from names and shapes, PyTorch's logits, taps of any stride under a
// masker.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/json.h"
#include "models/checkpoint.h"
#include "tensor/autograd.h"
#include "tests/golden_state.h"
#include "tests/paths.h"
#include "tests/program.h"

using namespace pen;

namespace {

const std::string folder = test::tests_folder() + "/data/weights/";
const std::string resnet20 = folder + "resnet20-12fca82f.th", mobilenet = folder + "mobilenet_v1_025.safetensors";

rapidjson::Document reference() { return parse_json(test::slurp(folder + "reference.json"), "reference.json"); }

std::vector<double> numbers(const rapidjson::Value& list) {
  std::vector<double> out;
  for (const auto& v : list.GetArray()) out.push_back(v.GetDouble());
  return out;
}

// x[c,y,x] = sin(0.1 (c+1) y + 0.07 x), as the reference says.
Tensor waves(std::int64_t side) {
  std::vector<float> v;
  for (std::int64_t y = 0; y < side; ++y)
    for (std::int64_t x = 0; x < side; ++x)
      for (int c = 0; c < 3; ++c)
        v.push_back(
            static_cast<float>(std::sin(0.1 * (c + 1) * static_cast<double>(y) + 0.07 * static_cast<double>(x))));
  return Tensor::from(v, {1, side, side, 3});
}

void check_close(const std::vector<double>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK_MESSAGE(std::abs(got[i] - want[i]) <= 1e-4 * std::max(std::abs(want[i]), 0.1), i, ": ", got[i], ", want ",
                  want[i]);
}

// A masker over the classifier's taps gives masks of the image's size, and a gradient.
void check_masker(Classifier& network, std::int64_t side, const std::vector<std::int64_t>& sizes) {
  network.set_requires_grad(false);
  const ClassifierOutput out = network.forward(waves(side));
  REQUIRE(out.taps.size() == sizes.size());
  MaskerOptions o;
  o.tap_widths = network.tap_widths();
  o.use_layers.clear();
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    CHECK(out.taps[i].shape() == Shape{1, sizes[i], sizes[i], o.tap_widths[i]});
    o.use_layers.push_back(static_cast<int>(i));
  }
  Rng rng(3);
  Masker masker(o, rng);
  MaskerInput in;
  in.taps = out.taps;
  in.height = in.width = side;
  const Tensor mask = masker.forward(in);
  CHECK(mask.shape() == Shape{1, side, side, 1});
  backward(ops::mean(mask));
  for (const NamedTensor& p : masker.parameters()) CHECK_MESSAGE(p.tensor.grad().defined(), p.name);
}

}  // namespace

TEST_CASE("ResNet-20 for CIFAR-10: the published file gives PyTorch's logits") {
  const std::unique_ptr<Classifier> network = load_classifier(read_checkpoint(resnet20));
  CHECK(network->arch() == "resnet20");
  CHECK(network->width() == 1);
  CHECK(network->classes() == 10);
  const NoGrad no_grad;
  check_close(test::values_of(network->logits(waves(32))), numbers(reference()["resnet20_32x32_logits"]));
  network->to(DType::f64);
  check_close(test::values_of(network->logits(waves(32).to(DType::f64))),
              numbers(reference()["resnet20_32x32_logits"]));
}

TEST_CASE("MobileNet x0.25 for ImageNet: PyTorch's logits, top 5 and means of its stages") {
  const std::unique_ptr<Classifier> network = load_classifier(read_checkpoint(mobilenet));
  CHECK(network->arch() == "mobilenet_v1");
  CHECK(network->width() == 0.25);
  CHECK(network->classes() == 1000);
  const NoGrad no_grad;
  const auto want = reference();
  const ClassifierOutput out = network->forward(waves(224));
  const std::vector<double> logits = test::values_of(out.logits);
  check_close({logits.begin(), logits.begin() + 10}, numbers(want["mobilenetV1x0.25_224_logits_0_9"]));
  std::vector<std::size_t> order(1000);
  for (std::size_t i = 0; i < 1000; ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  for (std::size_t i = 0; i < 5; ++i) {
    const auto& pair = want["mobilenetV1x0.25_224_top5"].GetArray()[static_cast<rapidjson::SizeType>(i)];
    CHECK(order[i] == static_cast<std::size_t>(pair[0].GetInt64()));
    check_close({logits[order[i]]}, {pair[1].GetDouble()});
  }
  std::vector<double> means;
  for (std::size_t tap : {2, 3, 4}) means.push_back(ops::mean(out.taps[tap]).item());
  check_close(means, numbers(want["mobilenet_stage_means"]));
}

TEST_CASE("a masker adapts to the taps' widths and strides") {
  check_masker(*load_classifier(read_checkpoint(resnet20)), 32, {32, 32, 16, 8});
  check_masker(*load_classifier(read_checkpoint(mobilenet)), 224, {56, 56, 28, 14, 7});
  check_masker(*load_classifier(read_checkpoint(mobilenet)), 72, {18, 18, 9, 5, 3});
}

TEST_CASE("every arch: built, described, recognised again; odd sizes; gradients reach all parameters") {
  for (const std::string& arch : classifier_archs()) {
    CAPTURE(arch);
    Rng rng(4);
    const double width = 0.125;
    const auto network = make_classifier({arch, 7, width}, rng);
    CHECK(network->arch() == arch);
    CHECK(network->width() == width);
    CHECK(network->forward(Tensor::full({2, 37, 41, 3}, 0.5)).logits.shape() == Shape{2, 7});
    const auto again = classifier_for(copy_state(*network), "file");
    CHECK(again->arch() == arch);
    CHECK(again->width() == width);
    CHECK(again->classes() == 7);
    CHECK(again->tap_widths() == network->tap_widths());
    if (arch == "resnet152" || arch == "resnet110") continue;  // like their smaller relatives
    backward(ops::mean(network->logits(waves(33))));
    for (const NamedTensor& p : network->parameters()) CHECK_MESSAGE(p.tensor.grad().defined(), p.name);
  }
}

TEST_CASE("a given arch wins; one that does not fit is refused with what differs") {
  const Checkpoint file = read_checkpoint(resnet20);
  CHECK(load_classifier(file, "resnet20")->classes() == 10);
  const auto refused = [](const Checkpoint& from, const std::string& arch, ErrorKind kind) {
    try {
      load_classifier(from, arch);
    } catch (const Error& e) {
      CHECK(e.kind() == kind);
      return std::string(e.what()) + e.hint();
    }
    FAIL("nothing was refused");
    return std::string();
  };
  CHECK(test::contains(refused(file, "resnet56", ErrorKind::checkpoint), "missing: layer1.3.conv1.weight"));
  CHECK(test::contains(refused(file, "mobilenet_v1", ErrorKind::checkpoint), "missing: stage1.0.0.weight"));
  CHECK(test::contains(refused(file, "resnet21", ErrorKind::usage), "known: resnet18"));
  Checkpoint other;
  other.path = "other.pth";
  other.parts["state_dict_classifier"] = {{"features.0.weight", Tensor::zeros({3, 3})}};
  CHECK(test::contains(refused(other, "", ErrorKind::checkpoint), "holds no classifier that is known here"));
}
