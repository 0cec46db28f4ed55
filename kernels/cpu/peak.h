// What the processor can compute at most: the ceiling that measured kernels are held against.
#pragma once

namespace pen::kernels::cpu {

// Floating-point operations a second of all threads together, in float32: multiplications with additions on registers
// alone, with the widest vectors that this build was compiled for. Takes about a tenth of a second.
double peak_flops_per_s();

}  // namespace pen::kernels::cpu
