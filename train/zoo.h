// Earlier states of the classifier (CASME: Zolna, Geras, Cho 2020). With zoo_mode `historic` the masked passes of some
// steps use one of them; with `paper`, as in the code that made the published numbers, none is ever used.
#pragma once

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "layers/module.h"

namespace pen {

class Zoo {
 public:
  explicit Zoo(std::size_t capacity) : capacity_(capacity) {}
  // Keeps a copy of the state; a random one goes when the zoo is full.
  void store(const Module& classifier, Rng& rng);
  bool empty() const { return states_.empty(); }
  std::size_t size() const { return states_.size(); }
  // A random stored state.
  const std::vector<NamedTensor>& draw(Rng& rng) const;
  std::vector<std::vector<NamedTensor>>& states() { return states_; }

 private:
  std::size_t capacity_;
  std::vector<std::vector<NamedTensor>> states_;
};

}  // namespace pen
