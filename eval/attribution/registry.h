// All attribution methods, by name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "eval/attribution/method.h"

namespace pen::eval {

// In the order of the documentation: gradients, class activation maps, perturbations, controls.
const std::vector<Method>& attribution_methods();
std::vector<std::string> attribution_names();

// By name. Dashes count as underscores, and the reference's prefix torchray_ is passed over. Null if there is none.
const Method* find_attribution(std::string_view name);
// The same; an unknown name is a usage error that suggests the nearest.
const Method& attribution_method(std::string_view name);

}  // namespace pen::eval
