// The list of classifiers, and which of them a file's names and shapes belong to.
#include "models/classifier.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/nearest.h"
#include "layers/init.h"
#include "models/cifar_resnet.h"
#include "models/mobilenet.h"
#include "models/resnet.h"

namespace pen {
namespace {

enum class Family { residual, cifar, mobile };

struct Known {
  const char* name;
  Family family;
  bool bottleneck;
  std::array<int, 4> blocks;  // cifar: the first counts for all stages
};
constexpr Known known[] = {{"resnet18", Family::residual, false, {2, 2, 2, 2}},
                           {"resnet34", Family::residual, false, {3, 4, 6, 3}},
                           {"resnet50", Family::residual, true, {3, 4, 6, 3}},
                           {"resnet101", Family::residual, true, {3, 4, 23, 3}},
                           {"resnet152", Family::residual, true, {3, 8, 36, 3}},
                           {"resnet20", Family::cifar, false, {3}},
                           {"resnet32", Family::cifar, false, {5}},
                           {"resnet44", Family::cifar, false, {7}},
                           {"resnet56", Family::cifar, false, {9}},
                           {"resnet110", Family::cifar, false, {18}},
                           {"mobilenet_v1", Family::mobile, false, {}}};

// Channels of the first convolution at width 1.
std::int64_t base_of(Family family) { return family == Family::residual ? 64 : family == Family::cifar ? 16 : 32; }

const Known& find_known(const std::string& arch) {
  for (const Known& k : known)
    if (arch == k.name) return k;
  std::string names;
  for (const std::string& name : classifier_archs()) names += (names.empty() ? "" : ", ") + name;
  fail(ErrorKind::usage, "unknown arch '" + arch + "'", "known: " + names);
}

std::unique_ptr<Classifier> build(const Known& k, std::int64_t base, std::int64_t classes, Rng& rng) {
  if (k.family == Family::cifar) return std::make_unique<CifarResNet>(k.blocks[0], base, classes, rng);
  if (k.family == Family::mobile) return std::make_unique<MobileNet>(base, classes, rng);
  return std::make_unique<ResNet>(ResNetShape{k.bottleneck, k.blocks, classes, base, k.name}, rng);
}

const Tensor* find(const std::vector<NamedTensor>& state, const std::string& name, std::size_t dimensions) {
  for (const NamedTensor& t : state)
    if (t.name == name && t.tensor.shape().size() == dimensions) return &t.tensor;
  return nullptr;
}

int blocks_of(const std::vector<NamedTensor>& state, int stage) {
  int blocks = 0;
  while (find(state, str("layer", stage, ".", blocks, ".conv1.weight"), 4)) ++blocks;
  return blocks;
}

std::unique_ptr<Classifier> recognise(const std::vector<NamedTensor>& state, const std::string& source) {
  Rng unused;
  if (const Tensor* stem = find(state, "stage1.0.0.weight", 4), *head = find(state, "fc.weight", 2); stem && head)
    return std::make_unique<MobileNet>(stem->size(0), head->size(0), unused);
  const Tensor* stem = find(state, "conv1.weight", 4);
  if (const Tensor* head = find(state, "linear.weight", 2); stem && head && blocks_of(state, 3) > 0) {
    const int blocks = blocks_of(state, 1);
    PEN_CHECK_AS(checkpoint, blocks == blocks_of(state, 2) && blocks == blocks_of(state, 3), "'", source, "' has ",
                 blocks, ", ", blocks_of(state, 2), " and ", blocks_of(state, 3),
                 " blocks in its three stages; networks for small images have as many in each");
    return std::make_unique<CifarResNet>(blocks, stem->size(0), head->size(0), unused);
  }
  const Tensor* head = find(state, "fc.weight", 2);
  PEN_CHECK_AS(checkpoint, stem && head, "'", source,
               "' holds no classifier that is known here: neither a residual network (conv1.weight with fc.weight or "
               "linear.weight) nor a MobileNet (stage1.0.0.weight and fc.weight)");
  ResNetShape shape;
  shape.base = stem->size(0);
  shape.classes = head->size(0);
  shape.bottleneck = find(state, "layer1.0.conv3.weight", 4) != nullptr;
  int sum = 0;
  for (int i = 0; i < 4; ++i) {
    const int blocks = blocks_of(state, i + 1);
    PEN_CHECK_AS(checkpoint, blocks > 0, "'", source, "' has no layer", i + 1, ".0.conv1.weight");
    shape.blocks[static_cast<std::size_t>(i)] = blocks;
    sum += blocks;
  }
  shape.arch = "resnet" + std::to_string(sum * (shape.bottleneck ? 3 : 2) + 2);
  return std::make_unique<ResNet>(shape, unused);
}

}  // namespace

Classifier::MaskedAndClean Classifier::masked_and_clean(const Tensor& images, const Tensor& mask, const Tensor& clean,
                                                        const std::vector<bool>& taps) {
  MaskedAndClean out;
  out.masked = masked_logits(images, mask);
  const NoGrad no_grad;
  out.clean = forward(clean);
  for (std::size_t k = 0; k < out.clean.taps.size(); ++k)
    if (k >= taps.size() || !taps[k]) out.clean.taps[k] = {};
  return out;
}

std::vector<std::string> classifier_archs() {
  std::vector<std::string> out;
  for (const Known& k : known) out.emplace_back(k.name);
  return out;
}

double width_factor(const Classifier& classifier) { return classifier.width(); }

std::unique_ptr<Classifier> make_classifier(const ClassifierOptions& o, Rng& rng) {
  PEN_CHECK_AS(usage, o.classes >= 1 && o.classes <= 1'000'000, "a classifier of ", o.classes, " classes");
  PEN_CHECK_AS(usage, o.width >= 1.0 / 16 && o.width <= 16, "a width factor of ", o.width, ": choose 1/16 to 16");
  const Known& k = find_known(o.arch);
  const auto base = std::lround(static_cast<double>(base_of(k.family)) * o.width);
  return build(k, std::max<std::int64_t>(base, 1), o.classes, rng);
}

std::unique_ptr<Classifier> classifier_for(const std::vector<NamedTensor>& state, const std::string& source,
                                           const std::string& arch) {
  const init::Skip weights_come_next;
  if (arch.empty()) return recognise(state, source);
  const Known& k = find_known(arch);
  const Tensor* stem = find(state, k.family == Family::mobile ? "stage1.0.0.weight" : "conv1.weight", 4);
  const Tensor* head = find(state, k.family == Family::cifar ? "linear.weight" : "fc.weight", 2);
  Rng unused;
  // Where the file lacks them it is not of that kind, and loading will say what differs.
  return build(k, stem ? stem->size(0) : base_of(k.family), head ? head->size(0) : 1000, unused);
}

}  // namespace pen
