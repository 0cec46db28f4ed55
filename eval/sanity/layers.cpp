#include "eval/sanity/layers.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/log.h"
#include "layers/init.h"

namespace pen::eval::sanity {
namespace {

// Unlike every stream that a training run draws its initial weights from: with the same seed, "random" layers would be
// the very ones that the network started with.
constexpr std::uint64_t random_layers_stream = 21;

bool below(const std::string& name, const std::string& layer) {
  return name.size() > layer.size() && name.starts_with(layer) && name[layer.size()] == '.';
}

void draw_as_reference(Tensor& t, Rng& rng) {
  const Shape& s = t.shape();
  if (s.size() == 4)
    init::normal(t, std::sqrt(2.0 / static_cast<double>(s[0] * s[1] * s[3])), rng);
  else if (s.size() == 2)
    init::uniform(t, 1.0 / std::sqrt(static_cast<double>(s[1])), rng);
  else
    init::uniform(t, 1.0 / std::sqrt(static_cast<double>(std::max<std::int64_t>(t.numel(), 1))), rng);
}

}  // namespace

std::vector<std::string> randomised_layers(const Module& network, int depth) {
  PEN_CHECK_AS(usage, depth >= 1, "layer depth ", depth, ": the network's own modules are at depth 1");
  const std::vector<NamedTensor> parameters = network.parameters();
  std::vector<std::string> names;
  for (const std::string& name : network.module_names()) {
    if (std::count(name.begin(), name.end(), '.') >= depth) continue;
    const bool has_parameters =
        std::any_of(parameters.begin(), parameters.end(), [&](const NamedTensor& p) { return below(p.name, name); });
    if (!has_parameters) continue;
    // Parents come before their children, and make way for them.
    std::erase_if(names, [&](const std::string& listed) { return below(name, listed); });
    names.push_back(name);
  }
  std::reverse(names.begin(), names.end());
  return names;
}

Randomiser::Randomiser(pen::Classifier& network, Protocol protocol, std::uint64_t seed)
    : network_(network), state_(network.state()), original_(copy_state(network)) {
  Rng rng(seed, random_layers_stream);
  if (protocol == Protocol::strict) {
    const auto fresh = make_classifier({network.arch(), network.classes(), width_factor(network)}, rng);
    random_ = fresh->state();
    PEN_CHECK(random_.size() == state_.size(), "sanity check: a new ", network.arch(), " has ", random_.size(),
              " tensors, the classifier ", state_.size());
    for (std::size_t i = 0; i < random_.size(); ++i) {
      PEN_CHECK(random_[i].name == state_[i].name && random_[i].tensor.shape() == state_[i].tensor.shape(),
                "sanity check: a new ", network.arch(), " has '", random_[i].name, "' ",
                to_string(random_[i].tensor.shape()), " where the classifier has '", state_[i].name, "' ",
                to_string(state_[i].tensor.shape()));
      const Tensor& like = state_[i].tensor;
      if (like.dtype() != DType::i64) random_[i].tensor = random_[i].tensor.to(like.dtype());
      random_[i].tensor = random_[i].tensor.to(like.device()).detach();
    }
    return;
  }
  random_ = copy_state(network);
  const std::vector<NamedTensor> parameters = network.parameters();
  for (NamedTensor& t : random_) {
    const bool is_parameter = std::any_of(parameters.begin(), parameters.end(),
                                          [&](const NamedTensor& parameter) { return parameter.name == t.name; });
    if (is_parameter) draw_as_reference(t.tensor, rng);
  }
}

void Randomiser::restore_quietly() noexcept {
  try {
    restore();
  } catch (const std::exception& error) {
    log::warn(str("sanity check: the classifier could not be put back: ", error.what()));
  }
}

void Randomiser::copy(const std::vector<NamedTensor>& from, const std::string& layer) {
  for (std::size_t i = 0; i < state_.size(); ++i) {
    if (!layer.empty() && !below(state_[i].name, layer)) continue;
    Tensor to = state_[i].tensor.detach();
    to.copy_from(from[i].tensor);
  }
}

void Randomiser::randomise(const std::string& layer) {
  network_.find(layer);
  copy(random_, layer);
}

void Randomiser::restore(const std::string& layer) {
  network_.find(layer);
  copy(original_, layer);
}

void Randomiser::restore() { copy(original_, {}); }

}  // namespace pen::eval::sanity
