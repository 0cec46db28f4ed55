// An earlier classifier as a network that looks at images: what a state drawn from the zoo is used as.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "models/classifier.h"

namespace pen {

struct PastClassifierOptions {
  bool fuse = true;  // as one operation (models/frozen_classifier.h); false: layer by layer
  bool winograd = true;
  double gradient_scale = 1024;  // FreezeOptions::gradient_scale
  // Frozen forms are kept for the next time that their state is drawn, of the states drawn last, in at most so many
  // bytes (about as many as their weights have) but at least one. ResNet-50 has 100 MB.
  std::int64_t most_bytes = std::int64_t{2} << 30;
};

class PastClassifier {
 public:
  explicit PastClassifier(const PastClassifierOptions& options) : options_(options) {}

  // The network of a state, on the device and in the type of `like`, whose states they are: in evaluation mode, with
  // gradients of its input alone. States are told apart by their memory and may not be changed in place. Valid until
  // the next call. A state with a weight that is not finite runs layer by layer, and its logits say so; so does one
  // whose frozen form finds no memory. (Folding is done on the CPU: on a GPU a state that is not kept is waited for.)
  Classifier& with(const std::vector<NamedTensor>& state, const Classifier& like);

  std::size_t kept() const { return kept_.size(); }

 private:
  struct Frozen {
    std::uint64_t id;
    std::int64_t bytes;
    std::unique_ptr<Classifier> network;
  };
  void load(const std::vector<NamedTensor>& state, const Classifier& like);

  PastClassifierOptions options_;
  std::unique_ptr<Classifier> network_;  // of the state that was loaded last
  std::list<Frozen> kept_;               // drawn last first
};

}  // namespace pen
