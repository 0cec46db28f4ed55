// The families of methods, each in a file of its own; registry.cpp lists them.
#pragma once

#include <vector>

#include "eval/attribution/method.h"

namespace pen::eval {

std::vector<Method> gradient_methods();           // gradients.cpp
std::vector<Method> averaged_gradient_methods();  // averaged_gradients.cpp
std::vector<Method> cam_methods();                // cams.cpp
std::vector<Method> more_cam_methods();           // more_cams.cpp
std::vector<Method> perturbation_methods();       // perturbations.cpp
std::vector<Method> control_methods();            // controls.cpp

}  // namespace pen::eval
