// The transforms of F(4x4,3x3) (Lavin, Gray 2016; matrices by Toom and Cook) for the points 0, +-a, +-b and infinity,
// on vectors of channels. a = 5/8 and b = 3/2 round less than the usual 1 and 2, and their powers are exact in float32.
#pragma once

#include "kernels/cpu/lanes.h"

namespace pen::kernels::cpu::tile {

constexpr float a = 0.625f, b = 1.5f, a2 = a * a, b2 = b * b;

// Tiles of fewer outputs, for the edge of a map: F(3,3) leaves out the point -b, F(2,3) that and b. Filters are
// transformed once for all of them: what the fewer points change of a filter's factors stands in B^T. The points'
// places among the six:
template <int outputs>
constexpr int place(int i) {
  static_assert(outputs >= 2 && outputs <= 4);
  return i + 1 == outputs + 2 ? 5 : i;
}
template <int outputs>
constexpr bool uses(int point) {
  return point == 5 || point < outputs + 1;
}

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

// The same for tiles of fewer outputs: outputs + 2 values.
template <int outputs>
inline void input_of(const Vector* in, Vector* out, int step) {
  if constexpr (outputs == 4) {
    input(in, out, step);
  } else if constexpr (outputs == 3) {
    const Vector cubes = in[3 * step] - a2 * in[step];
    const Vector odd_a = in[3 * step] - a * b * in[step], even_a = in[2 * step];
    const Vector sum = odd_a + (a - b) * even_a;
    // x (x + a)(x - b) and x (x - a)(x - b)
    const Vector difference = in[3 * step] + a * b * in[step] - (a + b) * even_a;
    out[0] = b * (in[3 * step] - b * in[2 * step] - a2 * in[step] + a2 * b * in[0]);
    out[step] = (a + b) * sum;
    out[2 * step] = (b - a) * difference;
    out[3 * step] = 2 * b * cubes;
    out[4 * step] = in[4 * step] - b * in[3 * step] - a2 * in[2 * step] + a2 * b * in[step];
  } else {
    const Vector even = (a2 - b2) * in[2 * step], odd = (a2 - b2) * a * in[step];
    out[0] = b2 * (a2 * in[0] - in[2 * step]);
    out[step] = even + odd;
    out[2 * step] = even - odd;
    out[3 * step] = in[3 * step] - a2 * in[step];
  }
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

template <int outputs>
inline void output_of(const Vector* in, int in_step, Vector* out, int out_step) {
  if constexpr (outputs == 4) {
    output(in, in_step, out, out_step);
  } else {
    const Vector sum = in[in_step] + in[2 * in_step], difference = a * (in[in_step] - in[2 * in_step]);
    out[0] = in[0] + sum;
    out[out_step] = difference;
    if constexpr (outputs == 3) {
      out[0] += in[3 * in_step];
      out[out_step] += b * in[3 * in_step];
      out[2 * out_step] = a2 * sum + b2 * in[3 * in_step] + in[4 * in_step];
    } else {
      out[out_step] += in[3 * in_step];
    }
  }
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
