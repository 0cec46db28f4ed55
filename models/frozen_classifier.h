// A classifier that will not change any more, as one fast operation (layers/frozen.h).
#pragma once

#include <memory>

#include "layers/frozen.h"
#include "models/classifier.h"

namespace pen {

// A copy of `network`, which must be in evaluation mode, that gives its logits and taps and the gradient of its input.
// It has no parameters and no hooks: whoever needs those works on the network itself. Null if the network has no frozen
// form; where the compute policy wants 16 bit inside of it, a usage error.
// Activations inside are as compute_policy() says: options.inside is not asked.
std::unique_ptr<Classifier> freeze(const Classifier& network, FreezeOptions options = {});

}  // namespace pen
