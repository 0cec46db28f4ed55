// From options to the criterion of one side.
#pragma once

#include <memory>

#include "layers/losses.h"
#include "train/options.h"

namespace pen {

// Null when the side's criterion is `none`. `classes` is the classifier's count; class weights (kldivergence) default
// to 1/1000 each. Bad configurations are usage errors.
std::unique_ptr<Criterion> make_criterion(const TrainOptions& options, MaskSide side, std::int64_t classes);

}  // namespace pen
