// Memory that does not suffice: what the error says, and evaluation that goes on with fewer images at once.
#include <doctest/doctest.h>

#include <limits>

#include "base/log.h"
#include "eval/attribution/attributor.h"
#include "eval/networks.h"
#include "tensor/memory.h"
#include "tests/compare.h"
#include "tests/tiny_networks.h"

using namespace pen;
using namespace pen::eval;

namespace {

constexpr std::uint64_t mebibyte = 1 << 20;

// A limit on what tensors may hold beyond what they hold now; none again at the end of its scope.
struct Limit {
  explicit Limit(std::uint64_t more) {
    release_cached_memory({});
    set_memory_limit({}, memory_stats({}).live + more);
  }
  ~Limit() { set_memory_limit({}, 0); }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;
};

std::uint64_t peak_of(const std::function<void()>& body) {
  release_cached_memory({});
  const std::uint64_t before = memory_stats({}).live;
  reset_peak_memory({});
  body();
  return memory_stats({}).peak - before;
}

template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const OutOfMemory& error) {
    CHECK(error.kind() == ErrorKind::run);
    CHECK_FALSE(error.hint().empty());
    return error.what();
  }
  return "accepted";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::vector<float> noise(std::int64_t n) {
  Rng rng(9);
  std::vector<float> out(static_cast<std::size_t>(n * 32 * 32 * 3));
  for (float& v : out) v = static_cast<float>(rng.normal());
  return out;
}

}  // namespace

TEST_CASE("a tensor that finds no memory says what it asked for, what is held and what is free") {
  const Tensor held = Tensor::empty({3 * mebibyte / 4}, DType::f32);
  const Limit limit(4 * mebibyte);
  const std::string text = refusal([] { Tensor::empty({2 * mebibyte}, DType::f32); });
  CHECK(has(text, "out of memory on cpu"));
  CHECK(has(text, "asked for 8.0 MiB"));
  CHECK(has(text, "tensors hold " + bytes_in_words(memory_stats({}).live)));
  CHECK(has(text, "--memory_limit allows"));
  CHECK(has(text, "are free"));
  CHECK(available_memory({}) <= 4 * mebibyte);
}

TEST_CASE("what is kept for reuse is given back before memory is refused") {
  const Limit limit(4 * mebibyte);
  { const Tensor kept = Tensor::empty({3 * mebibyte}, DType::u8); }
  CHECK(memory_stats({}).cached >= 3 * mebibyte);
  CHECK(available_memory({}) >= 4 * mebibyte);
  const Tensor other = Tensor::empty({4 * mebibyte}, DType::u8);
  CHECK(memory_stats({}).cached == 0);
}

TEST_CASE("sizes in words") {
  CHECK(bytes_in_words(640) == "640 bytes");
  CHECK(bytes_in_words(mebibyte * 3 / 2) == "1.5 MiB");
  CHECK(bytes_in_words(std::uint64_t{5} << 30) == "5.00 GiB");
}

TEST_CASE("pieces cover everything once, and are halved where they do not fit") {
  std::int64_t at_once = 8, most = 0;
  std::vector<int> seen(21, 0);
  const auto body = [&](std::int64_t first, std::int64_t count) {
    if (count > 3) throw OutOfMemory({}, 1, 2, 3, 4);
    most = std::max(most, count);
    for (std::int64_t i = first; i < first + count; ++i) ++seen[static_cast<std::size_t>(i)];
  };
  log::set_level(log::Level::quiet);
  in_fitting_pieces(21, at_once, {}, body);
  CHECK(std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; }));
  CHECK(most <= 3);
  CHECK(at_once <= 3);
  CHECK(at_once >= 2);
  std::int64_t one = 1;
  const std::string text = refusal(
      [&] { in_fitting_pieces(2, one, {}, [](std::int64_t, std::int64_t) { throw OutOfMemory({}, 1, 2, 3, 4); }); });
  CHECK(has(text, "one image alone"));
  // As equal as can be where everything fits.
  std::vector<std::int64_t> counts;
  std::int64_t four = 4;
  in_fitting_pieces(9, four, {}, [&](std::int64_t, std::int64_t count) { counts.push_back(count); });
  CHECK(counts == std::vector<std::int64_t>{3, 3, 3});
}

TEST_CASE("masks and maps are the same with little memory, in smaller pieces") {
  const test::TinyData data;
  log::set_level(log::Level::quiet);
  const MaskMaker masker(data.masker, {}, {}, {}, Device{});
  const std::vector<float> images = noise(8);
  Maps free, tight;
  const std::uint64_t one = peak_of([&] { masker(std::span(images).first(32 * 32 * 3), 1, 32, {}); });
  const std::uint64_t all = peak_of([&] { free = masker(images, 8, 32, {}); });
  REQUIRE(all > 2 * one);
  {
    const Limit limit(all / 2);
    tight = masker(images, 8, 32, {});
  }
  REQUIRE(tight.maps.size() == free.maps.size());
  REQUIRE(tight.logits.size() == free.logits.size());
  for (std::size_t i = 0; i < free.maps.size(); ++i) CHECK(std::abs(tight.maps[i] - free.maps[i]) <= 1e-5);

  const std::vector<std::int64_t> labels(8, 1);
  const std::vector<std::string> paths(8, "noise");
  const Batch batch{8, 32, images, labels, paths};
  for (const char* name : {"gradient", "occlusion"}) {
    CAPTURE(name);
    const Method& method = *find_attribution(name);
    const auto network = open_classifier(data.classifier, Device{}).network;
    network->eval();
    const AttributionOptions options{.internal_batch = 8, .window = 16, .stride = 8};
    Attributor wide(method, options, {TargetRule::Kind::label, 0}, network, 32),
        narrow(method, options, {TargetRule::Kind::label, 0}, network, 32);
    const std::uint64_t needed = peak_of([&] { free = wide(batch); });
    {
      const Limit limit(needed / 2);
      tight = narrow(batch);
    }
    CHECK(narrow.options().internal_batch < 8);
    CHECK(wide.options().internal_batch == 8);
    REQUIRE(tight.maps.size() == free.maps.size());
    float largest = 0, off = 0;
    for (std::size_t i = 0; i < free.maps.size(); ++i) {
      largest = std::max(largest, std::abs(free.maps[i]));
      off = std::max(off, std::abs(tight.maps[i] - free.maps[i]));
    }
    CHECK(off <= 1e-4f * largest);
  }
}
