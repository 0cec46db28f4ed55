// `train`: FIX and CA training of a masker, from options to a finished run folder.
#pragma once

#include <string>

#include "train/options.h"
#include "train/session.h"

namespace pen {

// Trains in `folder` (made by the caller; with options.resume it holds last.chk).
RunEnd train_masker(const TrainOptions& options, const std::string& folder);
// --dry-run: shapes, parameters, memory and time of a step, steps; nothing is written.
void plan_training(const TrainOptions& options);

// Batches of an epoch in the paper's protocol: floor(fraction * batches) + 1, at most all.
std::int64_t batches_per_epoch(std::int64_t batches, double fraction);
// The reference's schedule: lr * 0.1^(epoch / lrde) with a whole quotient; lr itself for lrde 0.
double decayed(double lr, std::int64_t epoch, std::int64_t lrde);

}  // namespace pen
