// The zoo of earlier classifiers: copies, how many, and which one makes way.
#include "train/zoo.h"

#include <doctest/doctest.h>

#include <set>

#include "layers/basic.h"
#include "tests/scratch.h"

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
