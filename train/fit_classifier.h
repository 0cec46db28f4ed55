// `fit-classifier`: a classifier trained from scratch (or from weights) on the user's own data.
#pragma once

#include <string>

#include "train/fit_options.h"
#include "train/session.h"

namespace pen {

// SGD with momentum on cross entropy with label smoothing; cosine (Loshchilov, Hutter 2017) or step schedule with
// linear warm-up. Writes the run folder and, at the end, classifier.safetensors: the plain weights of the best epoch.
// With options.dry_run it only says what the run would take; folder is not used.
RunEnd fit_classifier(const FitOptions& options, const std::string& folder);

// The learning rate of a step: linear warm-up over warmup_epochs, then half a cosine to 0 over all steps, or lr *
// 0.1^(epoch / lrde).
double scheduled_rate(const FitOptions& options, std::int64_t step, std::int64_t steps_per_epoch);

}  // namespace pen
