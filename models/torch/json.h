// Values as JSON.
#pragma once

#include "models/torch/value.h"

namespace pen::torch {

// A value as JSON, at most `depth` deep: what lies deeper, and what JSON cannot say, as its description. Bounded, also
// where a small file describes a huge structure.
std::string json_of(const Value& value, int depth = 16);

}  // namespace pen::torch
