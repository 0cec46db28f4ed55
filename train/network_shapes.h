// The sizes of a network's kernels, walked from its own description: what `bench kernels` times.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/types.h"
#include "models/classifier.h"

namespace pen {

struct NetworkShapes {
  struct Conv {
    kernels::Conv2d d;
    bool relu = false, residual = false;  // what follows it
    bool gated = false;                   // its input came out of a ReLU
    int count = 0;                        // how often the network has it
  };
  struct Pool {
    kernels::Pool2d d;
    int count = 0;
  };
  struct Norm {
    kernels::Rows d;
    int count = 0;
  };
  struct Tap {
    std::int64_t h, w, c;
  };
  std::vector<Conv> convs;  // in the order in which the network comes to them
  std::vector<Pool> pools;
  std::vector<Norm> norms;  // one after each convolution
  std::vector<Tap> taps;
  std::int64_t batch = 0, side = 0;
  std::int64_t pooled_pixels = 0, features = 0, classes = 0;  // of the global pooling and the last layer
};

// For batches of n images (n,side,side,3). The classifier is in evaluation mode; one without a list of steps is a usage
// error that names it.
NetworkShapes network_shapes(const Classifier& classifier, std::int64_t n, std::int64_t side);

// "8x56x56x64 3x3 -> 64", with " /2" for a stride of 2.
std::string describe(const kernels::Conv2d& d);

// Floating-point operations (two for each multiplication with addition) of the convolution, any of its directions.
double flops_of(const kernels::Conv2d& d);

}  // namespace pen
