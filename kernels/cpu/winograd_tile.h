// The transforms of F(4x4,3x3) (Lavin, Gray 2016; matrices by Toom and Cook) for the points 0, +-a, +-b and infinity,
// on vectors of channels. a = 5/8 and b = 3/2 round less than the usual 1 and 2, and their powers are exact in float32.
#pragma once

#include "kernels/cpu/lanes.h"

namespace pen::kernels::cpu::tile {

constexpr float a = 0.625f, b = 1.5f, a2 = a * a, b2 = b * b;

// Six values, `step` apart: out = B^T in
inline void input(const Vector* in, Vector* out, int step) {
  const Vector even_a = in[4 * step] - b2 * in[2 * step], odd_a = a * (in[3 * step] - b2 * in[step]);
  const Vector even_b = in[4 * step] - a2 * in[2 * step], odd_b = b * (in[3 * step] - a2 * in[step]);
  const Vector first = a2 * b2 * in[0] - (a2 + b2) * in[2 * step] + in[4 * step];
  const Vector last = a2 * b2 * in[step] - (a2 + b2) * in[3 * step] + in[5 * step];
  out[0] = first;
  out[step] = even_a + odd_a;
  out[2 * step] = even_a - odd_a;
  out[3 * step] = even_b + odd_b;
  out[4 * step] = even_b - odd_b;
  out[5 * step] = last;
}

// out (4) = A^T in (6)
inline void output(const Vector* in, int in_step, Vector* out, int out_step) {
  const Vector sum_a = in[in_step] + in[2 * in_step], difference_a = in[in_step] - in[2 * in_step];
  const Vector sum_b = in[3 * in_step] + in[4 * in_step], difference_b = in[3 * in_step] - in[4 * in_step];
  out[0] = in[0] + sum_a + sum_b;
  out[out_step] = a * difference_a + b * difference_b;
  out[2 * out_step] = a2 * sum_a + b2 * sum_b;
  out[3 * out_step] = a * a2 * difference_a + b * b2 * difference_b + in[5 * in_step];
}

// out (6) = A in (4): of an output's gradient
inline void output_back(const Vector* in, int in_step, Vector* out, int out_step) {
  const Vector even_a = in[0] + a2 * in[2 * in_step], odd_a = a * in[in_step] + a * a2 * in[3 * in_step];
  const Vector even_b = in[0] + b2 * in[2 * in_step], odd_b = b * in[in_step] + b * b2 * in[3 * in_step];
  out[0] = in[0];
  out[out_step] = even_a + odd_a;
  out[2 * out_step] = even_a - odd_a;
  out[3 * out_step] = even_b + odd_b;
  out[4 * out_step] = even_b - odd_b;
  out[5 * out_step] = in[3 * in_step];
}

// Of the three rows of G: 1/(a^2 b^2), 1/(2 a^2 (a^2 - b^2)), 1/(2 b^2 (b^2 - a^2)).
constexpr float origin = 1 / (a2 * b2), at_a = 1 / (2 * a2 * (a2 - b2)), at_b = 1 / (2 * b2 * (b2 - a2));

// out (6) = G in (3)
inline void filter(const Vector* in, int in_step, Vector* out, int out_step) {
  const Vector even_a = at_a * in[0] + at_a * a2 * in[2 * in_step], odd_a = at_a * a * in[in_step];
  const Vector even_b = at_b * in[0] + at_b * b2 * in[2 * in_step], odd_b = at_b * b * in[in_step];
  out[0] = origin * in[0];
  out[out_step] = even_a + odd_a;
  out[2 * out_step] = even_a - odd_a;
  out[3 * out_step] = even_b + odd_b;
  out[4 * out_step] = even_b - odd_b;
  out[5 * out_step] = in[2 * in_step];
}

// out (3) = G^T in (6): to a filter's gradient
inline void filter_back(const Vector* in, int in_step, Vector* out, int out_step) {
  const Vector sum_a = in[in_step] + in[2 * in_step], difference_a = in[in_step] - in[2 * in_step];
  const Vector sum_b = in[3 * in_step] + in[4 * in_step], difference_b = in[3 * in_step] - in[4 * in_step];
  out[0] = origin * in[0] + at_a * sum_a + at_b * sum_b;
  out[out_step] = at_a * a * difference_a + at_b * b * difference_b;
  out[2 * out_step] = at_a * a2 * sum_a + at_b * b2 * sum_b + in[5 * in_step];
}

}  // namespace pen::kernels::cpu::tile
