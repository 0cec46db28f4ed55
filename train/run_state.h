// Where a run stands: everything that a resumed run needs to go on bit for bit, beside the weights.
#pragma once

#include <cstdint>
#include <string>

#include "models/checkpoint.h"
#include "models/infiller.h"
#include "train/optim.h"
#include "train/zoo.h"

namespace pen {

struct RunPosition {
  std::int64_t epoch = 0;          // the one that runs, from 0
  std::int64_t data_position = 0;  // in that epoch's order: the next batch begins there
  std::int64_t step = 0;           // over all epochs: the next one's number
  std::uint64_t draws = 0;         // position of the random stream
  double best = 0;                 // best validation figure so far
  bool has_best = false;
};

// What is saved and restored together. Null members are left out.
struct RunObjects {
  Classifier* classifier = nullptr;
  Masker* masker = nullptr;
  Optimizer* classifier_optimizer = nullptr;
  Optimizer* masker_optimizer = nullptr;
  Infiller* infiller = nullptr;  // only one that is trained
  Optimizer* infiller_optimizer = nullptr;
  Zoo* zoo = nullptr;
};

void save_run(const RunObjects& objects, const RunPosition& position, Checkpoint& into);
// An Error of kind checkpoint if the file lacks something or does not fit.
RunPosition restore_run(const Checkpoint& from, const RunObjects& objects);

}  // namespace pen
