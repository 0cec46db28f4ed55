// Weights between K,C,R,S and the blocked layouts that oneDNN's kernels read. Weights in training are packed anew after
// each update, in both directions, and oneDNN's own reorders take a tenth of a step; these run at the speed of the
// memory.
#pragma once

#include <dnnl.hpp>
#include <optional>

#include "kernels/types.h"

namespace pen::kernels::cpu {

// A layout of K,C,R,S weights: a place is the sum of the strides of its blocks and of its places within them. Rows or
// columns of a block that the weights do not reach are zero.
struct BlockedWeights {
  std::int64_t k, c, r, s;
  std::int64_t block_k, block_c;                        // 1: not blocked
  std::int64_t stride_k, stride_c, stride_r, stride_s;  // from block to block
  std::int64_t inner_k, inner_c;                        // within a block; one of the two is 1
  std::int64_t size;                                    // floats, with the padding
};

// What oneDNN's description says, if it is a layout that the functions below know: no groups, at most one block of each
// of K and C, one of the two innermost and a multiple of 16.
std::optional<BlockedWeights> blocked_weights(const dnnl::memory::desc& layout);

// packed = plain (K,C,R,S)
void pack_weights(const BlockedWeights& d, const float* plain, float* packed);
// plain (K,C,R,S) = packed, or plain += packed
void unpack_weights(const BlockedWeights& d, const float* packed, Accum accum, float* plain);

}  // namespace pen::kernels::cpu
