// The zoo of earlier classifiers: copies, how many, and which one makes way; and the networks that they are used as.
#include "train/zoo.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>

#include "layers/basic.h"
#include "tensor/autograd.h"
#include "tests/compare.h"
#include "tests/golden_state.h"
#include "tests/scratch.h"
#include "train/past_classifier.h"

using namespace pen;

namespace {

// A module whose state is one number.
struct Numbered {
  Numbered() : rng(1), layer(1, 1, rng) {}
  const Module& at(float number) {
    layer.weight.mutable_data<float>()[0] = number;
    return layer;
  }
  Rng rng;
  Linear layer;
};

float number_of(const std::vector<NamedTensor>& state) { return static_cast<float>(state.at(0).tensor.item()); }

std::vector<float> numbers_of(Zoo& zoo) {
  std::vector<float> out;
  for (const auto& state : zoo.states()) out.push_back(number_of(state));
  return out;
}

// States as a zoo keeps them: of this network, each with other weights.
std::vector<NamedTensor> state_of(Classifier& network, const std::string& name) {
  test::fill_state(network, name, 0);
  return copy_state(network);
}

struct Seen {
  std::vector<double> logits, dx;
};
Seen look(Classifier& judge, const Tensor& images) {
  Tensor x = images.clone();
  x.set_requires_grad(true);
  const Tensor y = judge.logits(x);
  backward(y, Tensor::from(test::fill("past.dy", y.shape()), y.shape()).to(y.dtype()));
  return {y.to(DType::f64).to_vector<double>(), x.grad().to(DType::f64).to_vector<double>()};
}

}  // namespace

TEST_CASE("Zoo: what is stored is a copy, in order until it is full") {
  Numbered classifier;
  Rng rng(2);
  Zoo zoo(3);
  CHECK(zoo.empty());
  for (const float number : {1.0f, 2.0f, 3.0f}) zoo.store(classifier.at(number), rng);
  classifier.at(9);
  CHECK(numbers_of(zoo) == std::vector<float>{1, 2, 3});
  CHECK(rng.position() == 0);  // no draw was needed
}

TEST_CASE("Zoo: when it is full, one state at a random place makes way and the others stay") {
  Numbered classifier;
  Rng rng(3);
  Zoo zoo(4);
  for (int i = 0; i < 4; ++i) zoo.store(classifier.at(static_cast<float>(i)), rng);
  std::set<std::size_t> places;
  for (int i = 4; i < 40; ++i) {
    const std::vector<float> before = numbers_of(zoo);
    zoo.store(classifier.at(static_cast<float>(i)), rng);
    const std::vector<float> after = numbers_of(zoo);
    REQUIRE(after.size() == 4);
    std::size_t changed = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      if (after[k] == before[k]) continue;
      ++changed;
      CHECK(after[k] == static_cast<float>(i));
      places.insert(k);
    }
    CHECK(changed == 1);
  }
  CHECK(places.size() == 4);
}

TEST_CASE("Zoo: every stored state can be drawn") {
  Numbered classifier;
  Rng rng(4);
  Zoo zoo(5);
  for (int i = 0; i < 5; ++i) zoo.store(classifier.at(static_cast<float>(i)), rng);
  std::set<float> drawn;
  for (int i = 0; i < 100; ++i) drawn.insert(number_of(zoo.draw(rng)));
  CHECK(drawn == std::set<float>{0, 1, 2, 3, 4});
}

TEST_CASE("Zoo: of capacity 0 it stores nothing; a draw from an empty one is an error") {
  Numbered classifier;
  Rng rng(5);
  Zoo none(0);
  none.store(classifier.at(1), rng);
  CHECK(none.empty());
  test::check_error(ErrorKind::run, {"zoo", "nothing is stored"}, [&] { none.draw(rng); });
}

TEST_CASE("PastClassifier: frozen or layer by layer the same logits and gradient of the images, and none of weights") {
  for (const std::string arch : {"resnet18", "mobilenet_v1"}) {
    CAPTURE(arch);
    Rng rng(6);
    const auto network = make_classifier({.arch = arch, .classes = 5, .width = 0.125}, rng);
    network->to(DType::f64);
    const auto first = state_of(*network, "past.a."), second = state_of(*network, "past.b.");
    const Tensor images = Tensor::from(test::fill("past.x", {2, 32, 32, 3}), {2, 32, 32, 3}).to(DType::f64);
    PastClassifier frozen({}), plain({.fuse = false});
    std::vector<std::vector<double>> answers;
    for (const auto* state : {&first, &second, &first}) {
      Classifier &a = frozen.with(*state, *network), &b = plain.with(*state, *network);
      CHECK(a.is_frozen());
      CHECK_FALSE(b.is_frozen());
      CHECK_FALSE(b.is_training());
      const Seen got = look(a, images), want = look(b, images);
      CHECK_MESSAGE(test::compare_l2(got.logits, want.logits, 1e-12).ok, arch);
      CHECK_MESSAGE(test::compare_l2(got.dx, want.dx, 1e-11).ok, arch);
      for (const NamedTensor& t : b.parameters()) {
        CHECK_FALSE(t.tensor.requires_grad());
        CHECK_FALSE(t.tensor.grad().defined());
      }
      answers.push_back(got.logits);
    }
    CHECK(answers[0] == answers[2]);
    CHECK(answers[0] != answers[1]);
    CHECK(network->is_training());  // the classifier that is being trained is not touched
    CHECK(network->parameters().front().tensor.requires_grad());
  }
}

TEST_CASE("PastClassifier: frozen forms of the states drawn last are kept, as far as the memory goes") {
  Rng rng(7);
  const auto network = make_classifier({.arch = "resnet18", .classes = 5, .width = 0.0625}, rng);
  std::vector<std::vector<NamedTensor>> states;
  for (const char* name : {"past.a.", "past.b.", "past.c."}) states.push_back(state_of(*network, name));
  std::int64_t bytes = 0;
  for (const NamedTensor& t : states[0])
    bytes += t.tensor.numel() * static_cast<std::int64_t>(size_of(t.tensor.dtype()));
  PastClassifier past({.most_bytes = 2 * bytes});
  const Classifier* const a = &past.with(states[0], *network);
  CHECK(&past.with(states[0], *network) == a);
  past.with(states[1], *network);
  CHECK(&past.with(states[0], *network) == a);  // now b was drawn longest ago
  past.with(states[2], *network);
  CHECK(past.kept() == 2);
  CHECK(&past.with(states[0], *network) == a);
  PastClassifier none({.most_bytes = 0});
  for (const auto& state : states) {
    none.with(state, *network);
    CHECK(none.kept() == 1);
  }
}

TEST_CASE("PastClassifier: a state with a weight that is no number is looked through layer by layer, and shows") {
  Rng rng(8);
  const auto network = make_classifier({.arch = "resnet18", .classes = 5, .width = 0.0625}, rng);
  auto broken = state_of(*network, "past.a.");
  broken.front().tensor.mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  PastClassifier past({});
  Classifier& judge = past.with(broken, *network);
  CHECK_FALSE(judge.is_frozen());
  const NoGrad no_grad;
  for (const float v : judge.logits(Tensor::full({1, 32, 32, 3}, 0.5)).to_vector<float>()) CHECK(std::isnan(v));
}
