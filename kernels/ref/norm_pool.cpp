// Batch norm in training and pooling, written down.
#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "kernels/kernels.h"

namespace pen::kernels::ref {
namespace {

using std::int64_t;

template <class T>
void norm_forward(const Rows& d, double eps, const T* x, const T* residual, const wide_t<T>* gamma,
                  const wide_t<T>* beta, bool relu, T* y, wide_t<T>* mean, wide_t<T>* var) {
  parallel_for(d.c, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      double sum = 0, squares = 0;
      for (int64_t r = 0; r < d.rows; ++r) sum += x[r * d.c + c];
      const double m = sum / static_cast<double>(d.rows);
      for (int64_t r = 0; r < d.rows; ++r) squares += (x[r * d.c + c] - m) * (x[r * d.c + c] - m);
      const double variance = squares / static_cast<double>(d.rows);
      mean[c] = static_cast<wide_t<T>>(m);
      var[c] = static_cast<wide_t<T>>(variance);
      const double scale = gamma[c] / std::sqrt(variance + eps);
      for (int64_t r = 0; r < d.rows; ++r) {
        const int64_t i = r * d.c + c;
        const double v = (x[i] - m) * scale + beta[c] + (residual ? residual[i] : T(0));
        y[i] = static_cast<T>(static_cast<wide_t<T>>(relu && v < 0 ? 0.0 : v));  // NaN stays
      }
    }
  });
}

// dx = gamma/std * (dy - mean(dy) - xhat * mean(dy * xhat)), xhat = (x - mean)/std
template <class T>
void norm_backward(const Rows& d, double eps, const T* x, const T* dy, const T* y, const wide_t<T>* gamma,
                   const wide_t<T>* mean, const wide_t<T>* var, T* dx, T* dresidual, wide_t<T>* dgamma,
                   wide_t<T>* dbeta, Accum accum) {
  using wide = wide_t<T>;
  const auto g = [=](int64_t i) { return y && !(y[i] > wide(0)) ? wide(0) : wide(dy[i]); };
  const double n = static_cast<double>(d.rows);
  parallel_for(d.c, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const double inv_std = 1.0 / std::sqrt(static_cast<double>(var[c]) + eps), m = mean[c];
      double sum = 0, dot = 0;
      for (int64_t r = 0; r < d.rows; ++r) {
        sum += g(r * d.c + c);
        dot += g(r * d.c + c) * (x[r * d.c + c] - m) * inv_std;
      }
      if (dgamma) dgamma[c] = static_cast<wide>((accum == Accum::add ? dgamma[c] : wide(0)) + dot);
      if (dbeta) dbeta[c] = static_cast<wide>((accum == Accum::add ? dbeta[c] : wide(0)) + sum);
      for (int64_t r = 0; r < d.rows; ++r) {
        const int64_t i = r * d.c + c;
        const double xhat = (x[i] - m) * inv_std;
        const wide masked = g(i);  // before one of the two is written over dy
        if (dx) dx[i] = static_cast<T>(static_cast<wide>(gamma[c] * inv_std * (masked - sum / n - xhat * dot / n)));
        if (dresidual) dresidual[i] = static_cast<T>(masked);
      }
    }
  });
}

// Calls f(kernel index, row, column) for the places of window (p, q) that lie inside x.
template <class F>
void window(const Pool2d& d, int64_t p, int64_t q, F f) {
  for (int i = 0; i < d.k; ++i)
    for (int j = 0; j < d.k; ++j) {
      const int64_t h = p * d.stride - d.pad + i, w = q * d.stride - d.pad + j;
      if (h >= 0 && h < d.h && w >= 0 && w < d.w) f(i * d.k + j, h, w);
    }
}

template <class T>
void max_forward(const Pool2d& d, const T* x, T* y, std::uint8_t* index) {
  parallel_for(d.n * d.p, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t q = 0; q < d.q; ++q)
        for (int64_t c = 0; c < d.c; ++c) {
          bool first = true;
          T best = 0;
          int where = 0;
          window(d, row % d.p, q, [&](int i, int64_t h, int64_t w) {
            const T v = x[((row / d.p * d.h + h) * d.w + w) * d.c + c];
            if (first || v > best || (v != v && best == best)) {
              best = v;
              where = i;
              first = false;
            }
          });
          y[(row * d.q + q) * d.c + c] = best;
          if (index) index[(row * d.q + q) * d.c + c] = static_cast<std::uint8_t>(where);
        }
  });
}

template <class T>
void max_backward(const Pool2d& d, const T* dy, const std::uint8_t* index, T* dx) {
  parallel_for(d.n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      std::vector<wide_t<T>> sums(static_cast<std::size_t>(d.h * d.w * d.c));
      for (int64_t p = 0; p < d.p; ++p)
        for (int64_t q = 0; q < d.q; ++q)
          for (int64_t c = 0; c < d.c; ++c) {
            const int64_t o = ((n * d.p + p) * d.q + q) * d.c + c;
            const int64_t h = p * d.stride - d.pad + index[o] / d.k, w = q * d.stride - d.pad + index[o] % d.k;
            sums[static_cast<std::size_t>((h * d.w + w) * d.c + c)] += dy[o];
          }
      for (std::size_t i = 0; i < sums.size(); ++i)
        dx[n * d.h * d.w * d.c + static_cast<int64_t>(i)] = static_cast<T>(sums[i]);
    }
  });
}

template <class T>
void avg_forward(const Pool2d& d, const T* x, T* y) {
  for (int64_t n = 0; n < d.n; ++n)
    for (int64_t p = 0; p < d.p; ++p)
      for (int64_t q = 0; q < d.q; ++q)
        for (int64_t c = 0; c < d.c; ++c) {
          double sum = 0;
          int count = 0;
          window(d, p, q, [&](int, int64_t h, int64_t w) {
            sum += x[((n * d.h + h) * d.w + w) * d.c + c];
            ++count;
          });
          y[((n * d.p + p) * d.q + q) * d.c + c] = static_cast<T>(sum / count);
        }
}

template <class T>
void avg_backward(const Pool2d& d, const T* dy, T* dx) {
  std::fill_n(dx, d.n * d.h * d.w * d.c, T(0));
  for (int64_t n = 0; n < d.n; ++n)
    for (int64_t p = 0; p < d.p; ++p)
      for (int64_t q = 0; q < d.q; ++q) {
        int count = 0;
        window(d, p, q, [&](int, int64_t, int64_t) { ++count; });
        for (int64_t c = 0; c < d.c; ++c) {
          const T share = dy[((n * d.p + p) * d.q + q) * d.c + c] / static_cast<T>(count);
          window(d, p, q, [&](int, int64_t h, int64_t w) { dx[((n * d.h + h) * d.w + w) * d.c + c] += share; });
        }
      }
}

}  // namespace

#define PEN_DEFINE16(T)                                                                                         \
  void batch_norm_fwd(const Context&, const Rows& d, double eps, const T* x, const T* residual,                 \
                      const wide_t<T>* gamma, const wide_t<T>* beta, bool relu, T* y, wide_t<T>* mean,          \
                      wide_t<T>* var) {                                                                         \
    norm_forward(d, eps, x, residual, gamma, beta, relu, y, mean, var);                                         \
  }                                                                                                             \
  void batch_norm_bwd(const Context&, const Rows& d, double eps, const T* x, const T* dy, const T* y,           \
                      const wide_t<T>* gamma, const wide_t<T>* mean, const wide_t<T>* var, T* dx, T* dresidual, \
                      wide_t<T>* dgamma, wide_t<T>* dbeta, Accum accum) {                                       \
    norm_backward(d, eps, x, dy, y, gamma, mean, var, dx, dresidual, dgamma, dbeta, accum);                     \
  }                                                                                                             \
  void max_pool_fwd(const Context&, const Pool2d& d, const T* x, T* y, std::uint8_t* index) {                   \
    max_forward(d, x, y, index);                                                                                \
  }                                                                                                             \
  void max_pool_bwd(const Context&, const Pool2d& d, const T* dy, const std::uint8_t* index, T* dx) {           \
    max_backward(d, dy, index, dx);                                                                             \
  }
PEN_DEFINE16(float)
PEN_DEFINE16(double)
PEN_DEFINE16(bf16)
PEN_DEFINE16(f16)
#undef PEN_DEFINE16

#define PEN_DEFINE(T)                                                                            \
  void avg_pool_fwd(const Context&, const Pool2d& d, const T* x, T* y) { avg_forward(d, x, y); } \
  void avg_pool_bwd(const Context&, const Pool2d& d, const T* dy, T* dx) { avg_backward(d, dy, dx); }
PEN_DEFINE(float)
PEN_DEFINE(double)
#undef PEN_DEFINE

}  // namespace pen::kernels::ref
