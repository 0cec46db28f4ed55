#include "kernels/cpu/conv_single.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "base/parallel.h"
#include "kernels/cpu/lanes.h"

namespace pen::kernels::cpu {
namespace {

using std::int64_t;

constexpr int64_t side = 4;        // vectors of channels that are summed side by side
constexpr int64_t piece_rows = 8;  // output rows whose weight gradients are summed apart, whatever the threads

const Vector* vector_at(const float* x) { return reinterpret_cast<const Vector*>(x); }

// Input rows (or columns) for output o and each of the window's: first + i * dilation.
int64_t first_of(const Conv2d& d, int64_t o) { return o * d.stride - d.pad; }

double sum_of(const Vector& v) {
  double sum = 0;
  for (int i = 0; i < lanes; ++i) sum += static_cast<double>(v[i]);
  return sum;
}

// Of two vectors of c channels; beyond a vector's lanes in double.
double product_of(int64_t c, const float* a, const float* b) {
  Vector sum[side] = {};
  int64_t i = 0;
  for (; i + side * lanes <= c; i += side * lanes)
    for (int64_t v = 0; v < side; ++v) sum[v] += *vector_at(a + i + v * lanes) * *vector_at(b + i + v * lanes);
  for (; i < c; i += lanes) sum[0] += *vector_at(a + i) * *vector_at(b + i);
  return sum_of((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// Outputs [q0,q1) of a row whose input column, q * stride - shift, lies inside.
void inside(const Conv2d& d, int64_t shift, int64_t& q0, int64_t& q1) {
  q0 = std::clamp<int64_t>(shift > 0 ? (shift + d.stride - 1) / d.stride : 0, 0, d.q);
  const int64_t last = d.w - 1 + shift;
  q1 = last < 0 ? q0 : std::clamp<int64_t>(last / d.stride + 1, q0, d.q);
}

// Weight gradients of some rows of dy, added to sums (R,S,C).
void add_rows(const Conv2d& d, const float* x, const float* dy, int64_t n, int64_t p0, int64_t p1, float* sums) {
  for (int64_t i = 0; i < d.r; ++i)
    for (int64_t j = 0; j < d.s; ++j) {
      const int64_t shift = d.pad - j * d.dilation;  // input column = q * stride - shift
      int64_t q0, q1;
      inside(d, shift, q0, q1);
      for (int64_t c = 0; c < d.c; c += side * lanes) {
        const int64_t vectors = std::min(side, (d.c - c) / lanes);
        Vector sum[side] = {};
        for (int64_t p = p0; p < p1; ++p) {
          const int64_t h = first_of(d, p) + i * d.dilation;
          if (h < 0 || h >= d.h) continue;
          const float* const given = dy + (n * d.p + p) * d.q;
          const float* const row = x + (n * d.h + h) * d.w * d.c + c;
          const auto add = [&](auto count) {
            for (int64_t q = q0; q < q1; ++q)
              for (int64_t v = 0; v < count; ++v)
                sum[v] += given[q] * *vector_at(row + (q * d.stride - shift) * d.c + v * lanes);
          };
          if (vectors == side)
            add(std::integral_constant<int64_t, side>{});
          else
            add(vectors);
        }
        for (int64_t v = 0; v < vectors; ++v)
          *reinterpret_cast<Vector*>(sums + (i * d.s + j) * d.c + c + v * lanes) += sum[v];
      }
    }
}

}  // namespace

bool single_suits(const Conv2d& d) { return d.k == 1 && d.groups == 1 && d.c % lanes == 0; }

void single_forward(const Conv2d& d, const float* x, const float* w, const float* b, float* y) {
  const int64_t area = d.r * d.s;
  std::vector<float> turned(static_cast<std::size_t>(area * d.c));  // (R,S,C)
  for (int64_t c = 0; c < d.c; ++c)
    for (int64_t t = 0; t < area; ++t) turned[static_cast<std::size_t>(t * d.c + c)] = w[c * area + t];
  parallel_for(d.n * d.p, 2, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / d.p, top = first_of(d, row % d.p);
      for (int64_t q = 0; q < d.q; ++q) {
        const int64_t left = first_of(d, q);
        double total = b ? static_cast<double>(*b) : 0;
        for (int64_t i = 0; i < d.r; ++i) {
          const int64_t h = top + i * d.dilation;
          if (h < 0 || h >= d.h) continue;
          for (int64_t j = 0; j < d.s; ++j) {
            const int64_t column = left + j * d.dilation;
            if (column < 0 || column >= d.w) continue;
            const float* const from = x + ((n * d.h + h) * d.w + column) * d.c;
            total += product_of(d.c, from, turned.data() + (i * d.s + j) * d.c);
          }
        }
        y[row * d.q + q] = static_cast<float>(total);
      }
    }
  });
}

void single_weight_gradient(const Conv2d& d, const float* x, const float* dy, Accum accum, float* dw) {
  const int64_t area = d.r * d.s, size = area * d.c, pieces = (d.p + piece_rows - 1) / piece_rows;
  std::vector<float> sums(static_cast<std::size_t>(d.n * pieces * size), 0.0f);
  parallel_for(d.n * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t p0 = t % pieces * piece_rows;
      add_rows(d, x, dy, t / pieces, p0, std::min(p0 + piece_rows, d.p), sums.data() + t * size);
    }
  });
  parallel_for(size, 64, [&](int64_t begin, int64_t end) {  // (R,S,C)
    std::vector<double> total(static_cast<std::size_t>(end - begin), 0.0);
    for (int64_t piece = 0; piece < d.n * pieces; ++piece)
      for (int64_t i = begin; i < end; ++i)
        total[static_cast<std::size_t>(i - begin)] +=
            static_cast<double>(sums[static_cast<std::size_t>(piece * size + i)]);
    for (int64_t i = begin; i < end; ++i) {
      float& to = dw[i % d.c * area + i / d.c];
      to = static_cast<float>(static_cast<double>(accum == Accum::add ? to : 0) +
                              total[static_cast<std::size_t>(i - begin)]);
    }
  });
}

}  // namespace pen::kernels::cpu
