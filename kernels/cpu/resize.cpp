// Bilinear resizing by one axis after the other, a whole row at a time: the body in kernels/shared computes each
// element from its four neighbours (or an input's gradient from all its readers), which is a GPU's way. Sums are
// rounded otherwise, by a bit or two.
#include <algorithm>
#include <vector>

#include "base/parallel.h"
#include "kernels/kernels.h"
#include "kernels/shared/math.inl"

namespace pen::kernels::cpu {
namespace {

using std::int64_t;

template <class T>
using Taps = std::vector<shared::BilinearTap<T>>;  // by output index

template <class T>
Taps<T> taps(int64_t in, int64_t out, bool align_corners) {
  Taps<T> all(static_cast<std::size_t>(out));
  for (int64_t o = 0; o < out; ++o)
    all[static_cast<std::size_t>(o)] = shared::bilinear_tap<T>(o, in, out, align_corners);
  return all;
}

// to (q,c) = a row x (w,c) at the places of the taps
template <class T>
void widen_row(const Taps<T>& columns, int64_t c, const T* x, T* to) {
  for (const auto& [i0, i1, w0, w1] : columns) {
    const T *const left = x + i0 * c, *const right = x + i1 * c;
    for (int64_t j = 0; j < c; ++j) to[j] = w0 * left[j] + w1 * right[j];
    to += c;
  }
}

template <class T>
void forward(const Resize2d& d, const T* x, T* y) {
  const Taps<T> down = taps<T>(d.h, d.p, d.align_corners), across = taps<T>(d.w, d.q, d.align_corners);
  const int64_t in = d.w * d.c, out = d.q * d.c;
  parallel_for(d.n * d.p, 16384 / std::max<int64_t>(out, 1) + 1, [&](int64_t begin, int64_t end) {
    // The two input rows that the last output row read: the next one mostly reads them again.
    std::vector<T> rows(static_cast<std::size_t>(2 * out));
    int64_t held[2] = {-1, -1};
    const auto row = [&](int64_t i) {  // of all images' rows
      T* const to = rows.data() + (i & 1) * out;
      if (held[i & 1] != i) widen_row(across, d.c, x + i * in, to);
      held[i & 1] = i;
      return to;
    };
    for (int64_t r = begin; r < end; ++r) {
      const auto& [i0, i1, w0, w1] = down[static_cast<std::size_t>(r % d.p)];
      const int64_t first = r / d.p * d.h;
      const T *const upper = row(first + i0), *const lower = row(first + i1);
      T* const to = y + r * out;
      for (int64_t j = 0; j < out; ++j) to[j] = w0 * upper[j] + w1 * lower[j];
    }
  });
}

template <class T>
void backward(const Resize2d& d, const T* dy, T* dx) {
  const Taps<T> down = taps<T>(d.h, d.p, d.align_corners), across = taps<T>(d.w, d.q, d.align_corners);
  const int64_t in = d.w * d.c, out = d.q * d.c;
  const int64_t work = std::max<int64_t>(out, 1) * (2 * d.p / std::max<int64_t>(d.h, 1) + 1);  // of one row
  parallel_for(d.n * d.h, 16384 / work + 1, [&](int64_t begin, int64_t end) {
    std::vector<T> line(static_cast<std::size_t>(out));  // what the readers of input row h send back, columns apart
    for (int64_t r = begin; r < end; ++r) {
      const int64_t h = r % d.h, n = r / d.h;
      std::fill(line.begin(), line.end(), T(0));
      int64_t p0, p1;
      shared::bilinear_readers(h, d.h, d.p, d.align_corners, p0, p1);
      for (int64_t p = p0; p < p1; ++p) {
        const auto& [i0, i1, w0, w1] = down[static_cast<std::size_t>(p)];
        const T weight = (i0 == h ? w0 : T(0)) + (i1 == h ? w1 : T(0));
        if (weight == T(0)) continue;
        const T* const from = dy + (n * d.p + p) * out;
        T* const to = line.data();
        for (int64_t j = 0; j < out; ++j) to[j] += weight * from[j];
      }
      T* const to = dx + r * in;
      std::fill(to, to + in, T(0));
      const T* from = line.data();
      for (const auto& [i0, i1, w0, w1] : across) {
        T *const left = to + i0 * d.c, *const right = to + i1 * d.c;
        for (int64_t j = 0; j < d.c; ++j) left[j] += w0 * from[j];
        for (int64_t j = 0; j < d.c; ++j) right[j] += w1 * from[j];
        from += d.c;
      }
    }
  });
}

}  // namespace

#define PEN_DEFINE(T)                                                                                 \
  void resize_bilinear_fwd(const Context&, const Resize2d& d, const T* x, T* y) { forward(d, x, y); } \
  void resize_bilinear_bwd(const Context&, const Resize2d& d, const T* dy, T* dx) { backward(d, dy, dx); }
PEN_DEFINE(float)
PEN_DEFINE(double)
#undef PEN_DEFINE

}  // namespace pen::kernels::cpu
