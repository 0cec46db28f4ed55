// Removed pixels become what their neighbours suggest (Rong et al., "A consistent and efficient evaluation strategy for
// attribution methods", ICML 2022, section 4.2).
#pragma once

#include <cstdint>
#include <span>

#include "base/rng.h"

namespace pen::eval {

// Each pixel that `removed` marks (size, size; non-zero) becomes the weighted mean of its neighbours inside the image,
// direct ones 1/6 and diagonal ones 1/12 before the weights are scaled to sum 1, for all of them at once, plus noise of
// N(0, noise). image (size, size, 3) is changed in place. The linear system is solved by conjugate gradients to a
// relative residual of 1e-5. Nothing left to learn from: only noise is put there.
void noisy_linear_imputation(std::span<float> image, std::int64_t size, std::span<const std::uint8_t> removed, Rng& rng,
                             double noise = 0.01);

}  // namespace pen::eval
