// Names, order, types and shapes of state dicts equal those of the published files; loading is strict and explains.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>

#include "base/check.h"
#include "models/classifier.h"
#include "models/infill_ca.h"
#include "models/infill_cnn.h"
#include "models/infill_dfnet.h"
#include "models/infill_pconv.h"
#include "models/masker.h"
#include "tests/paths.h"

using namespace pen;

namespace {

// One line per entry: name, type and shape, separated by tabs.
std::vector<std::string> listed(const std::string& file) {
  std::ifstream in(pen::test::tests_folder() + "/state_dicts/" + file);
  REQUIRE_MESSAGE(in.good(), file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) lines.push_back(line);
  REQUIRE(!lines.empty());
  return lines;
}

std::vector<std::string> described(const Module& module) {
  std::vector<std::string> lines;
  for (const NamedTensor& t : module.state()) {
    std::string shape;
    for (const std::int64_t d : t.tensor.shape()) shape += (shape.empty() ? "" : ", ") + std::to_string(d);
    std::string line = t.name;
    line.append(t.tensor.dtype() == DType::i64 ? "\tint64\t[" : "\tfloat32\t[").append(shape).append("]");
    lines.push_back(line);
  }
  return lines;
}

void check(const std::string& file, const Module& module) {
  const std::vector<std::string> want = listed(file), got = described(module);
  CHECK_MESSAGE(want.size() == got.size(), file);
  for (std::size_t i = 0; i < std::min(want.size(), got.size()); ++i) CHECK_MESSAGE(got[i] == want[i], file);
}

std::unique_ptr<Masker> masker(std::vector<int> layers, MaskerOptions options = {}) {
  Rng rng(1);
  options.use_layers = std::move(layers);
  return std::make_unique<Masker>(options, rng);
}

std::unique_ptr<Classifier> small(std::int64_t classes = 10) {
  Rng rng(3);
  return make_classifier({.arch = "resnet18", .classes = classes, .width = 0.125}, rng);
}

std::string error_of(Module& module, const std::vector<NamedTensor>& from) {
  try {
    load_state(module, from, "weights.safetensors");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::checkpoint);
    return e.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("state dicts: resnet50 and every masker as published") {
  Rng rng(1);
  check("resnet50.txt", *make_classifier({.arch = "resnet50"}, rng));
  check("masker_layers_0.txt", *masker({0}));
  check("masker_layers_0_1_2_3_4.txt", *masker({0, 1, 2, 3, 4}));
  check("masker_layers_3_4.txt", *masker({3, 4}));
  check("masker_layers_3_4_prob.txt", *masker({3, 4}, {.add_prob_layers = true}));
  check("masker_layers_2_4_class_ids.txt", *masker({2, 4}, {.add_class_ids = true}));
  check("masker_layers_3_4_gumbel.txt", *masker({3, 4}, {.apply_gumbel = true}));
}

TEST_CASE("state dicts: every infilling network as published") {
  Rng rng(1);
  const init::Skip not_drawn;
  check("infiller_cnn.txt", CnnInfiller(rng));
  check("infiller_pconv_unet_6.txt", PConvInfiller(6, rng));
  check("infiller_pconv_unet_7.txt", PConvInfiller(7, rng));
  check("infiller_ca_generator.txt", CaInfiller(false, rng));
  check("infiller_dfnet.txt", DfnetInfiller(false, rng));
}

TEST_CASE("state dicts: a learned tau is a parameter of `final`, else there is none") {
  const auto learned = masker({3, 4}, {.apply_gumbel = true, .gumbel_tau = -1});
  const auto fixed = masker({3, 4}, {.apply_gumbel = true});
  std::vector<std::string> names;
  for (const NamedTensor& p : learned->parameters()) names.push_back(p.name);
  CHECK(std::find(names.begin(), names.end(), "final.tau") != names.end());
  CHECK(learned->parameters().size() == fixed->parameters().size() + 1);
}

TEST_CASE("load_state: copies every entry, and the copy is its own") {
  Rng rng(4);
  const auto from = small();
  const auto to = make_classifier({.arch = "resnet18", .classes = 10, .width = 0.125}, rng);
  std::vector<NamedTensor> state = copy_state(*from);
  load_state(*to, state, "weights.safetensors");
  const auto a = from->state(), b = to->state();
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].tensor.dtype() != DType::f32) continue;
    CHECK_MESSAGE(a[i].tensor.to_vector<float>() == b[i].tensor.to_vector<float>(), a[i].name);
    CHECK_FALSE(b[i].tensor.shares_storage(state[i].tensor));
  }
}

TEST_CASE("load_state: num_batches_tracked may be absent, nothing else") {
  const auto net = small();
  std::vector<NamedTensor> state = copy_state(*net);
  std::erase_if(state, [](const NamedTensor& t) { return t.name.ends_with("num_batches_tracked"); });
  CHECK(error_of(*net, state).empty());
  std::erase_if(state, [](const NamedTensor& t) { return t.name == "layer2.0.bn1.weight"; });
  const std::string message = error_of(*net, state);
  CHECK(contains(message, "weights.safetensors"));
  CHECK(contains(message, "missing: layer2.0.bn1.weight"));
}

TEST_CASE("load_state: unexpected names come with the nearest known one") {
  const auto net = small();
  std::vector<NamedTensor> state = copy_state(*net);
  for (NamedTensor& t : state)
    if (t.name == "layer1.0.conv1.weight") t.name = "layer1.0.conv_1.weight";
  const std::string message = error_of(*net, state);
  CHECK(contains(message, "missing: layer1.0.conv1.weight"));
  CHECK(contains(message, "unexpected: layer1.0.conv_1.weight (nearest known: layer1.0.conv1.weight)"));
}

TEST_CASE("load_state: shapes that differ are named with both shapes, and nothing is loaded") {
  const auto net = small(10);
  const std::vector<NamedTensor> before = copy_state(*net);
  const std::string message = error_of(*net, copy_state(*small(7)));
  CHECK(contains(message, "shape of fc.weight: file (7, 64), network (10, 64)"));
  CHECK(contains(message, "shape of fc.bias: file (7), network (10)"));
  CHECK(contains(message, "2 differences"));
  Rng other(99);
  std::vector<NamedTensor> wrong =
      copy_state(*make_classifier({.arch = "resnet18", .classes = 7, .width = 0.125}, other));
  CHECK(!error_of(*net, wrong).empty());
  const auto after = net->state();
  for (std::size_t i = 0; i < before.size(); ++i)
    if (before[i].tensor.dtype() == DType::f32)
      CHECK_MESSAGE(before[i].tensor.to_vector<float>() == after[i].tensor.to_vector<float>(), before[i].name);
}

TEST_CASE("load_state: many differences are counted, not all listed") {
  const auto net = small();
  const std::string message = error_of(*net, {});
  CHECK(contains(message, "and "));
  CHECK(contains(message, " more"));
  CHECK(std::count(message.begin(), message.end(), '\n') <= 14);
}

TEST_CASE("modules: find by path, with a suggestion where there is none") {
  const auto net = small();
  CHECK(net->find("layer1.0.conv1").parameters().size() == 1);
  try {
    net->find("layer1.0.conv11");
    FAIL("found a layer that does not exist");
  } catch (const Error& e) {
    CHECK(contains(e.hint(), "layer1.0.conv1"));
  }
}
