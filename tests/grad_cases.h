// One list of cases that covers every differentiable operation of tensor/ops.h with its options: odd sizes, H != W,
// batch 1, inputs away from kinks by construction.
#pragma once

#include <string>
#include <vector>

#include "tests/gradcheck.h"

namespace pen::test {

struct GradCase {
  std::string op;              // the operation's name in tensor/ops.h
  std::string what;            // which options
  std::vector<Tensor> inputs;  // f64: differentiated; others: constants
  Function f;                  // works in the dtype of its inputs
  Function surrogate;          // see GradcheckOptions
};
std::vector<GradCase> grad_cases();

// Names of the functions that a header declares at the beginning of a line ("Tensor relu(const Tensor& x);").
std::vector<std::string> declared_functions(const std::string& header_text);

}  // namespace pen::test
