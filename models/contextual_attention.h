// Contextual attention (Yu, Lin, Yang, Shen, Lu, Huang, "Generative image inpainting with contextual attention", CVPR
// 2018, section 4.1): every place is rebuilt from patches of the known surroundings that look like it.
#pragma once

#include "tensor/tensor.h"

namespace pen {

// features (N,H,W,C), H and W even. mask (N,H/2,W/2,1): 1 in the hole; a patch whose 3x3 places touch it is no source.
// With a_shared_mask the first image's mask counts for all (the reference's wrapper does so).
// Scores: cosine-like products of 3x3 patches of the map at half size, patches normalised by
// sqrt(sum(w^2 + 1e-4)), summed along both diagonals of the score matrix (fuse 3), softmax with scale 10; pasted are
// 4x4 patches of the full map, overlapping, their sum divided by 4. Returns (N,H,W,C).
Tensor contextual_attention(const Tensor& features, const Tensor& mask, bool a_shared_mask);

}  // namespace pen
