// Maps that know nothing of the network: what every method has to beat.
#pragma once

#include <cstdint>
#include <vector>

namespace pen::eval {

// (size, size): 1 in round(33 size/224) .. size - that on both axes, the square of score's mode center; 0 elsewhere.
std::vector<double> center_map(std::int64_t size);
// (size, size): an isotropic Gaussian about pixel (size/2, size/2), as the reference's coordinates -112 .. 111 have it,
// with its values replaced by their ranks (the mean rank for equal ones), moved and scaled to [0, 1]: whatever its
// width, the same map. 1 everywhere where there is one pixel.
std::vector<double> gaussian_map(std::int64_t size);

}  // namespace pen::eval
