// What cuDNN would do on a GPU that is not there. For tests, and for choosing graphs on machines without one.
#pragma once

#include <cstddef>
#include <string>

#include "kernels/conv_spec.h"

namespace pen::kernels::cuda {

// How many engine configurations are offered (and admitted), and how many of the first `most_built` build a plan that
// is read back from its text.
struct EngineCount {
  int offered = 0, built = 0, read_back = 0;
  std::size_t text_bytes = 0;  // of the first plan
};

// For the GPU that `device_json` describes in cuDNN's words (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION); see
// conv_graph.h for `fused`. A build without CUDA: an Error.
EngineCount count_engines(const ConvSpec& spec, bool fused, const std::string& device_json, int most_built);

}  // namespace pen::kernels::cuda
