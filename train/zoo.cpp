#include "train/zoo.h"

#include "base/check.h"

namespace pen {

void Zoo::store(const Module& classifier, Rng& rng) {
  if (capacity_ == 0) return;
  if (states_.size() < capacity_)
    states_.push_back(copy_state(classifier));
  else
    states_[rng.below(states_.size())] = copy_state(classifier);
}

const std::vector<NamedTensor>& Zoo::draw(Rng& rng) const {
  PEN_CHECK(!states_.empty(), "zoo: nothing is stored yet");
  return states_[rng.below(states_.size())];
}

}  // namespace pen
