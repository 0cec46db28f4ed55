// Errors of a twin carry the kernel's name in front.
#pragma once

#include <string>

#include "base/check.h"

namespace pen::kernels::cuda {

template <class F>
void named(const char* kernel, F&& f) {
  try {
    f();
  } catch (const Error& error) {
    fail(error.kind(), std::string(kernel) + ": " + error.what(), error.hint());
  }
}

}  // namespace pen::kernels::cuda
