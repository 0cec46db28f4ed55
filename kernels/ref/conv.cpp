// Convolution written down: windows gathered into rows, times the weights as a matrix. Zero where a window leaves x.
#include <vector>

#include "base/parallel.h"
#include "kernels/kernels.h"
#include "kernels/ref/gemm.h"

namespace pen::kernels::ref {
namespace {

using std::int64_t;

template <class T>
using Buffer = std::vector<T>;

template <class T>
T* at(Buffer<T>& v, int64_t i) {
  return v.data() + i;
}

// w (K,C/g,R,S) -> (g, R,S,C/g, K/g): the matrix that multiplies gathered windows of x
template <class T>
Buffer<T> weights_forward(const Conv2d& d, const T* w) {
  const int64_t cg = d.c / d.groups, kg = d.k / d.groups, area = d.r * d.s;
  Buffer<T> out(static_cast<std::size_t>(d.k * cg * area));
  for (int64_t k = 0; k < d.k; ++k)
    for (int64_t c = 0; c < cg; ++c)
      for (int64_t i = 0; i < area; ++i)
        *at(out, ((k / kg * area + i) * cg + c) * kg + k % kg) = w[(k * cg + c) * area + i];
  return out;
}

// w (K,C/g,R,S) -> (g, R,S,K/g, C/g): the matrix that multiplies gathered windows of dy
template <class T>
Buffer<T> weights_backward(const Conv2d& d, const T* w) {
  const int64_t cg = d.c / d.groups, kg = d.k / d.groups, area = d.r * d.s;
  Buffer<T> out(static_cast<std::size_t>(d.k * cg * area));
  for (int64_t k = 0; k < d.k; ++k)
    for (int64_t c = 0; c < cg; ++c)
      for (int64_t i = 0; i < area; ++i)
        *at(out, ((k / kg * area + i) * kg + k % kg) * cg + c) = w[(k * cg + c) * area + i];
  return out;
}

// Columns [begin, end) of the windows of output row (n, p), group g: a (Q, end - begin), a column is ((r,s), c).
template <class T>
void gather_windows(const Conv2d& d, const T* x, int64_t n, int64_t p, int64_t g, int64_t begin, int64_t end, T* a) {
  const int64_t cg = d.c / d.groups;
  for (int64_t q = 0; q < d.q; ++q) {
    T* row = a + q * (end - begin);
    for (int64_t col = begin; col < end;) {
      const int64_t rs = col / cg, c = col % cg, count = std::min(cg - c, end - col);
      const int64_t h = p * d.stride - d.pad + rs / d.s * d.dilation, w = q * d.stride - d.pad + rs % d.s * d.dilation;
      if (h >= 0 && h < d.h && w >= 0 && w < d.w) {
        std::copy_n(x + ((n * d.h + h) * d.w + w) * d.c + g * cg + c, count, row + col - begin);
      } else {
        std::fill_n(row + col - begin, count, T(0));
      }
      col += count;
    }
  }
}

// The outputs that input row (n, h) was read by, group g: a (W, R*S*K/g), a column is ((r,s), k).
template <class T>
void gather_readers(const Conv2d& d, const T* dy, int64_t n, int64_t h, int64_t g, T* a) {
  const int64_t kg = d.k / d.groups;
  for (int64_t w = 0; w < d.w; ++w)
    for (int64_t r = 0; r < d.r; ++r)
      for (int64_t s = 0; s < d.s; ++s) {
        T* to = a + ((w * d.r + r) * d.s + s) * kg;
        const int64_t p = h + d.pad - r * d.dilation, q = w + d.pad - s * d.dilation;
        if (p >= 0 && q >= 0 && p % d.stride == 0 && q % d.stride == 0 && p / d.stride < d.p && q / d.stride < d.q) {
          std::copy_n(dy + ((n * d.p + p / d.stride) * d.q + q / d.stride) * d.k + g * kg, kg, to);
        } else {
          std::fill_n(to, kg, T(0));
        }
      }
}

template <class T>
void forward(const Conv2d& d, const T* x, const T* w, const T* b, T* y) {
  const int64_t kg = d.k / d.groups, depth = d.r * d.s * d.c / d.groups;
  Buffer<T> weights = weights_forward(d, w);
  parallel_for(d.n * d.p, 1, [&](int64_t begin, int64_t end) {
    Buffer<T> a(static_cast<std::size_t>(d.q * depth));
    for (int64_t row = begin; row < end; ++row) {
      T* out = y + row * d.q * d.k;
      for (int64_t i = 0; i < d.q * d.k; ++i) out[i] = b ? b[i % d.k] : T(0);
      for (int64_t g = 0; g < d.groups; ++g) {
        gather_windows(d, x, row / d.p, row % d.p, g, 0, depth, a.data());
        gemm(d.q, kg, depth, a.data(), depth, false, at(weights, g * depth * kg), kg, out + g * kg, d.k);
      }
    }
  });
}

template <class T>
void backward_data(const Conv2d& d, const T* dy, const T* w, T* dx) {
  const int64_t cg = d.c / d.groups, depth = d.r * d.s * d.k / d.groups;
  Buffer<T> weights = weights_backward(d, w);
  parallel_for(d.n * d.h, 1, [&](int64_t begin, int64_t end) {
    Buffer<T> a(static_cast<std::size_t>(d.w * depth));
    for (int64_t row = begin; row < end; ++row) {
      T* out = dx + row * d.w * d.c;
      std::fill_n(out, d.w * d.c, T(0));
      for (int64_t g = 0; g < d.groups; ++g) {
        gather_readers(d, dy, row / d.h, row % d.h, g, a.data());
        gemm(d.w, cg, depth, a.data(), depth, false, at(weights, g * depth * cg), cg, out + g * cg, d.c);
      }
    }
  });
}

template <class T>
void backward_weight(const Conv2d& d, const T* x, const T* dy, T* dw, Accum accum) {
  const int64_t cg = d.c / d.groups, kg = d.k / d.groups, area = d.r * d.s, depth = area * cg;
  if (accum == Accum::write) std::fill_n(dw, d.k * depth, T(0));
  // Each piece owns some rows of the gradient matrix (R*S*C, K) and reads all images.
  parallel_for(depth, 8, [&](int64_t begin, int64_t end) {
    Buffer<T> a(static_cast<std::size_t>(d.q * (end - begin))), sum(static_cast<std::size_t>((end - begin) * kg));
    for (int64_t g = 0; g < d.groups; ++g) {
      std::fill(sum.begin(), sum.end(), T(0));
      for (int64_t row = 0; row < d.n * d.p; ++row) {
        gather_windows(d, x, row / d.p, row % d.p, g, begin, end, a.data());
        gemm(end - begin, kg, d.q, a.data(), end - begin, true, dy + row * d.q * d.k + g * kg, d.k, sum.data(), kg);
      }
      for (int64_t i = begin; i < end; ++i)
        for (int64_t k = 0; k < kg; ++k)
          dw[((g * kg + k) * cg + i % cg) * area + i / cg] += *at(sum, (i - begin) * kg + k);
    }
  });
}

template <class T>
void product(const Matmul& d, const T* a, const T* b, T* c, Accum accum) {
  if (accum == Accum::write) std::fill_n(c, d.m * d.n, T(0));
  Buffer<T> straight;
  if (d.trans_b) {  // (n,k) -> (k,n)
    straight.resize(static_cast<std::size_t>(d.k * d.n));
    for (int64_t j = 0; j < d.n; ++j)
      for (int64_t l = 0; l < d.k; ++l) *at(straight, l * d.n + j) = b[j * d.k + l];
    b = straight.data();
  }
  parallel_for(d.m, 4, [&](int64_t begin, int64_t end) {
    const T* rows = d.trans_a ? a + begin : a + begin * d.k;
    gemm(end - begin, d.n, d.k, rows, d.trans_a ? d.m : d.k, d.trans_a, b, d.n, c + begin * d.n, d.n);
  });
}

}  // namespace

#define PEN_DEFINE(T)                                                                                    \
  void conv2d_fwd(const Context&, const Conv2d& d, const T* x, const T* w, const T* b, T* y) {           \
    forward(d, x, w, b, y);                                                                              \
  }                                                                                                      \
  void conv2d_bwd_data(const Context&, const Conv2d& d, const T* dy, const T* w, T* dx) {                \
    backward_data(d, dy, w, dx);                                                                         \
  }                                                                                                      \
  void conv2d_bwd_weight(const Context&, const Conv2d& d, const T* x, const T* dy, T* dw, Accum accum) { \
    backward_weight(d, x, dy, dw, accum);                                                                \
  }                                                                                                      \
  void matmul(const Context&, const Matmul& d, const T* a, const T* b, T* c, Accum accum) {              \
    product(d, a, b, c, accum);                                                                          \
  }
PEN_DEFINE(float)
PEN_DEFINE(double)
#undef PEN_DEFINE

// What is made wider is exact.
#define PEN_DEFINE16(T)                                                                                      \
  void conv2d_bwd_weight(const Context&, const Conv2d& d, const T* x, const T* dy, float* dw, Accum accum) { \
    const std::vector<float> wide_x(x, x + d.n * d.h * d.w * d.c), wide_dy(dy, dy + d.n * d.p * d.q * d.k);  \
    backward_weight(d, wide_x.data(), wide_dy.data(), dw, accum);                                            \
  }
PEN_DEFINE16(bf16)
PEN_DEFINE16(f16)
#undef PEN_DEFINE16

}  // namespace pen::kernels::ref
