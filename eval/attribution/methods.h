// The families of methods, each in a file of its own; registry.cpp lists them.
#pragma once

#include <vector>

#include "eval/attribution/method.h"

namespace pen::eval {

std::vector<Method> gradient_methods();  // gradients.cpp
std::vector<Method> cam_methods();       // cams.cpp

}  // namespace pen::eval
