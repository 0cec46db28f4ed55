#include "models/masker.h"

#include <algorithm>

namespace pen {
namespace {

constexpr std::int64_t reduced = 64;   // channels of each reduced tap
constexpr std::int64_t embedded = 64;  // channels of the class embedding
constexpr double learned_tau_start = 0.1;

}  // namespace

Masker::Reduce::Reduce(std::int64_t in, Rng& rng) : conv(in, reduced, 1, {}, false, rng), norm(reduced) {
  add_child("0", conv);
  add_child("1", norm);
}

Masker::Final::Final(std::int64_t in, const MaskerOptions& o, Rng& rng) : conv(in, 1, 3, {.pad = 1}, true, rng) {
  add_child(o.apply_gumbel ? "conv" : "0", conv);
  if (o.apply_gumbel && o.gumbel_tau == -1) tau = &add_parameter("tau", Tensor::full({1}, learned_tau_start));
}

Masker::ClassModule::ClassModule(std::int64_t classes, Rng& rng) : embedding(classes, embedded, rng) {
  add_child("embedding", embedding);
}

Masker::Masker(const MaskerOptions& o, Rng& rng) : options_(o) {
  PEN_CHECK_AS(usage, !o.use_layers.empty(), "a masker needs at least one tap (masker_use_layers)");
  for (std::size_t i = 0; i < o.use_layers.size(); ++i) {
    const int layer = o.use_layers[i];
    PEN_CHECK_AS(
        usage, layer >= 0 && layer < static_cast<int>(o.tap_widths.size()) && (i == 0 || layer > o.use_layers[i - 1]),
        "masker_use_layers: tap ", layer, " (taps are 0 to ", o.tap_widths.size() - 1, ", ascending, once each)");
  }
  PEN_CHECK_AS(usage, o.gumbel_tau == -1 || o.gumbel_tau > 0, "apply_gumbel_tau: ", o.gumbel_tau,
               " is neither positive nor -1 (learned)");
  const std::int64_t extra = (o.add_prob_layers ? 1 : 0) + (o.add_class_ids ? embedded : 0);
  reduce_.resize(o.tap_widths.size());
  std::int64_t total = 0;
  for (const int layer : o.use_layers) {
    const auto i = static_cast<std::size_t>(layer);
    const std::int64_t in = o.tap_widths[i] + extra;
    if (reduces(layer)) {
      reduce_[i] = std::make_unique<Reduce>(in, rng);
      add_child("conv1x1_" + std::to_string(layer), *reduce_[i]);
      total += reduced;
    } else {
      total += in;
    }
  }
  add_child("final", final_.emplace(total, o, rng));
  if (o.add_class_ids) add_child("class_module", class_module_.emplace(o.classes, rng));
}

// The tap's own channels, then p, then the class embedding.
Tensor Masker::with_conditions(const Tensor& tap, const MaskerInput& input) {
  std::vector<Tensor> parts{tap};
  if (options_.add_prob_layers)
    parts.push_back(ops::broadcast_planes(input.p.view({tap.size(0), 1}), tap.size(1), tap.size(2)));
  if (options_.add_class_ids)
    parts.push_back(ops::broadcast_planes(class_module_->embedding.forward(input.class_ids), tap.size(1), tap.size(2)));
  return parts.size() == 1 ? tap : ops::concat_channels(parts);
}

Tensor Masker::binarize(const Tensor& logits, Rng* noise) {
  switch (options_.gumbel_mode) {
    case GumbelMode::sigmoid:
      return ops::sigmoid(logits);
    case GumbelMode::logits:
      return logits;
    default:
      break;
  }
  if (!is_training()) return ops::step(logits, 0.0);
  PEN_CHECK(noise != nullptr, "masker: Gumbel noise needs a random stream while training");
  const Tensor z = ops::add(logits, ops::logistic_noise(logits.shape(), logits.dtype(), logits.device(), *noise));
  const Tensor y = ops::sigmoid(final_->tau ? ops::scale_by(z, ops::reciprocal(*final_->tau))
                                            : ops::affine(z, 1.0 / options_.gumbel_tau, 0.0));
  return options_.gumbel_mode == GumbelMode::hard ? ops::round_straight_through(y, 0.5) : y;
}

bool Masker::reads_tap(std::size_t i) const {
  const std::vector<int>& used = options_.use_layers;
  return i == 0 || std::find(used.begin(), used.end(), static_cast<int>(i)) != used.end();
}

Tensor Masker::draw(const MaskerInput& input, Rng* noise) {
  PEN_CHECK(static_cast<int>(input.taps.size()) > options_.use_layers.back(), "masker: ", input.taps.size(),
            " taps, and it reads tap ", options_.use_layers.back());
  PEN_CHECK(!options_.add_prob_layers || input.p.defined(), "masker: add_prob_layers needs target areas");
  PEN_CHECK(!options_.add_class_ids || input.class_ids.defined(), "masker: add_class_ids needs class ids");
  // Everything is brought to the finest tap's size (56x56 for 224x224).
  const std::int64_t h = input.taps[0].size(1), w = input.taps[0].size(2);
  std::vector<Tensor> maps;
  for (const int layer : options_.use_layers) {
    const auto i = static_cast<std::size_t>(layer);
    PEN_CHECK(input.taps[i].size(-1) == options_.tap_widths[i], "masker: tap ", layer, " has ", input.taps[i].size(-1),
              " channels, expected ", options_.tap_widths[i]);
    Tensor map = with_conditions(input.taps[i], input);
    if (reduces(layer)) map = reduce_[i]->norm.forward(reduce_[i]->conv.forward(map), true);
    if (map.size(1) != h || map.size(2) != w) map = ops::resize_bilinear(map, h, w);
    maps.push_back(std::move(map));
  }
  const Tensor logits = final_->conv.forward(maps.size() == 1 ? maps[0] : ops::concat_channels(maps));
  return input.no_sigmoid ? logits : options_.apply_gumbel ? binarize(logits, noise) : ops::sigmoid(logits);
}

Tensor Masker::forward(const MaskerInput& input, Rng* noise) {
  const Tensor mask = draw(input, noise);
  return hooked(options_.bilinear ? ops::resize_bilinear(mask, input.height, input.width)
                                  : ops::resize_nearest(mask, input.height, input.width));
}

Tensor Masker::forward_coarse(const MaskerInput& input, Rng* noise) {
  const bool repeats = !options_.bilinear && !input.taps.empty() &&
                       ops::nearest_repeats(input.taps[0].size(1), input.taps[0].size(2), input.height, input.width);
  return repeats && !has_forward_hook() ? draw(input, noise) : forward(input, noise);
}

std::vector<int> parse_use_layers(const std::string& text) {
  std::vector<int> out;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const bool digit =
        text[i] >= '0' && text[i] <= '4' && (i + 1 == text.size() || (text[i + 1] == ',' && i + 2 < text.size()));
    PEN_CHECK_AS(usage, digit && (out.empty() || text[i] - '0' > out.back()), "masker_use_layers: '", text,
                 "' is not a list of taps 0 to 4, ascending, like 3,4");
    out.push_back(text[i] - '0');
  }
  PEN_CHECK_AS(usage, !out.empty(), "masker_use_layers: the list is empty");
  return out;
}

GumbelMode parse_gumbel_mode(const std::string& text) {
  if (text == "hard") return GumbelMode::hard;
  if (text == "soft") return GumbelMode::soft;
  if (text == "sigmoid") return GumbelMode::sigmoid;
  if (text == "logits") return GumbelMode::logits;
  fail(ErrorKind::usage, "gumbel_output_mode: '" + text + "' is not one of hard, soft, sigmoid, logits");
}

}  // namespace pen
