// What an attribution method is: a formula on a classifier that turns images and one class for each into maps.
// registry.h finds methods by name, attributor.h runs them on batches.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/classifier.h"

namespace pen::eval {

// What a method reads of the network, cheapest first.
enum class Needs : std::uint8_t { image, forward, activations, gradient };
std::string_view name_of(Needs needs);

// What methods can be told. Zero stands for the method's own choice, which Method::options names.
struct AttributionOptions {
  std::string layer = {};            // module whose result is read; empty: the last one that gives feature maps
  std::int64_t internal_batch = 16;  // images, or altered copies of them, that pass the network together
  std::int64_t samples = 0;          // random draws: masks of RISE, noisy copies of SmoothGrad
  std::int64_t steps = 0;            // points on the path of integrated gradients
  double noise = 0;                  // SmoothGrad: standard deviation, as a share of the image's range of values
  double keep = 0;                   // RISE: probability that a cell of the mask is on
  std::int64_t cells = 0;            // RISE: cells of the coarse mask on each axis
  std::int64_t window = 0;           // occlusion: side of the patch, in pixels
  std::int64_t stride = 0;           // occlusion: pixels from one patch to the next
  std::uint64_t seed = 0;
  // Standard deviation of the Gaussian that finished maps are smoothed with, as a share of their side; negative: the
  // method's own.
  double smooth = -1;
};

// Which class's logit is explained: the annotated one, the predicted one, or one for all images.
struct TargetRule {
  enum class Kind : std::uint8_t { label, top1, fixed } kind = Kind::label;
  std::int64_t id = 0;
};
// label|top1|<number>; anything else is a usage error.
TargetRule parse_target(std::string_view text);

// What a method is asked about a few images.
struct Question {
  pen::Classifier& network;              // in evaluation mode
  Tensor x;                              // (N,S,S,3) normalised, without history, of the network's device and dtype
  std::span<const std::int64_t> labels;  // (N); may be empty for rules other than label
  TargetRule target;
  const AttributionOptions& options;
  // The same function as `network`, faster, for logits and gradients of the input alone; null: there is none.
  pen::Classifier* fast = nullptr;

  pen::Classifier& runner() const { return fast ? *fast : network; }
  // The classes to explain, given the logits (N,classes) of x. A class that the network does not have: an error of kind
  // data (a label) or usage (a number that was asked for).
  std::vector<std::int64_t> targets(const Tensor& logits) const;
};

struct Attribution {
  Tensor maps;    // (N,h,w), at the resolution that the method works at; larger is more important
  Tensor logits;  // (N,classes) of x; undefined if the method had no need of them
};

// How a method is run.
struct MethodTraits {
  bool at_layer = false;  // it reads options.layer
  bool many = false;      // it sends many altered copies of each image through the network
  bool by_class = true;   // the class that is explained makes a difference
  double smooth = 0;      // see AttributionOptions::smooth
  // Usage errors for options that make no sense on images of side `size`; null: all do.
  void (*check)(const AttributionOptions& options, std::int64_t size) = nullptr;
};

// One method. A plain table entry, so that a method is its formula and little else.
struct Method : MethodTraits {
  std::string_view name;
  Needs needs = Needs::image;
  std::string_view formula, paper;
  std::string_view cost;     // passes through the network for each image
  std::string_view options;  // which options it reads, with its own choices; empty: none
  Attribution (*run)(const Question&) = nullptr;

  bool reads(std::string_view option) const;  // whether `options` names it
};

}  // namespace pen::eval
