#include "train/past_classifier.h"

#include <algorithm>

#include "base/check.h"
#include "models/checkpoint.h"
#include "models/frozen_classifier.h"
#include "tensor/memory.h"

namespace pen {

void PastClassifier::load(const std::vector<NamedTensor>& state, const Classifier& like) {
  if (!network_) {
    // Built from the names and shapes of a state: the options do not say how wide the classifier is.
    Checkpoint stored;
    stored.path = "zoo";
    stored.parts["state_dict_classifier"] = copy_state(like);
    network_ = load_classifier(stored);
    network_->to(like.device());
    network_->to(like.dtype());
    network_->set_inside(like.inside());
  }
  load_state(*network_, state, "zoo");
  network_->set_requires_grad(false);
  network_->eval();
}

Classifier& PastClassifier::with(const std::vector<NamedTensor>& state, const Classifier& like) {
  PEN_CHECK(!state.empty(), "zoo: an empty state");
  const std::uint64_t id = state.front().tensor.storage_id();
  const auto found = std::find_if(kept_.begin(), kept_.end(), [&](const Frozen& f) { return f.id == id; });
  if (found != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, found);
    return *kept_.front().network;
  }
  load(state, like);
  if (!options_.fuse) return *network_;
  std::unique_ptr<Classifier> frozen;
  try {
    frozen = freeze(*network_, {.winograd = options_.winograd, .gradient_scale = options_.gradient_scale});
  } catch (const NotFinite&) {
    // Such a weight has no folded form. The step's losses are to say so, as they do without folding.
  } catch (const OutOfMemory&) {
    // The forms that are kept save time. Without them there may be enough for the step.
    kept_.clear();
    release_cached_memory(like.device());
  }
  if (!frozen) return *network_;  // nor does every kind of network have a frozen form
  kept_.push_front({id, bytes_of(state), std::move(frozen)});
  std::int64_t bytes = 0;
  auto last = kept_.begin();
  for (std::size_t n = 0; last != kept_.end(); ++last, ++n)
    if ((bytes += last->bytes) > options_.most_bytes && n > 0) break;
  kept_.erase(last, kept_.end());
  return *kept_.front().network;
}

}  // namespace pen
