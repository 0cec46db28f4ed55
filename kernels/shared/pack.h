// Eight neighbouring elements at once. A GPU's memory gives a thread up to 16 bytes for one request, so that 16-bit
// values read one by one leave most of its bandwidth unused. On the CPU compilers make vectors of the loops.
#pragma once

#include <cstdint>

#include "base/rng.h"
#include "kernels/types.h"

namespace pen::kernels::shared {

// W elements of a row, at an address that is a multiple of their size, of 16 bytes at most.
template <class T, int W>
struct alignas(W * sizeof(T) < 16 ? W * sizeof(T) : 16) Pack {
  T at[W];
};

// A GPU faults where a pack does not lie at such an address. The CPU would not, and checks: tests run there.
template <int W, class T>
inline void check_place(const T* p) {
  PEN_CHECK(reinterpret_cast<std::uintptr_t>(p) % alignof(Pack<T, W>) == 0, "a pack of ", W, " at ",
            static_cast<const void*>(p));
}

template <int W, class T>
PEN_HD inline Pack<T, W> read_pack(const T* p) {
#ifdef __CUDA_ARCH__
  return *reinterpret_cast<const Pack<T, W>*>(p);
#else
  check_place<W>(p);
  Pack<T, W> pack;
  for (int j = 0; j < W; ++j) pack.at[j] = p[j];
  return pack;
#endif
}
template <int W, class T>
PEN_HD inline void write_pack(T* p, const Pack<T, W>& pack) {
#ifdef __CUDA_ARCH__
  *reinterpret_cast<Pack<T, W>*>(p) = pack;
#else
  check_place<W>(p);
  for (int j = 0; j < W; ++j) p[j] = pack.at[j];
#endif
}

// How many elements of an eight there are. Whole: all, which may be read as a pack; Part: some, or all where memory is
// not aligned for that.
struct Whole {
  PEN_HD constexpr operator int() const { return 8; }
};
struct Part {
  int count;
  PEN_HD operator int() const { return count; }
};

// The elements of an eight; those that are not there are zero.
template <class T>
PEN_HD inline Pack<T, 8> read_eight(Whole, const T* p) {
  return read_pack<8>(p);
}
template <class T>
PEN_HD inline Pack<T, 8> read_eight(Part part, const T* p) {
  Pack<T, 8> eight{};
  for (int j = 0; j < 8; ++j)
    if (j < part) eight.at[j] = p[j];
  return eight;
}
template <class T>
PEN_HD inline void write_eight(Whole, T* p, const Pack<T, 8>& eight) {
  write_pack(p, eight);
}
template <class T>
PEN_HD inline void write_eight(Part part, T* p, const Pack<T, 8>& eight) {
  for (int j = 0; j < 8; ++j)
    if (j < part) p[j] = eight.at[j];
}

// y[i] = f(x[i]) or f(x1[i], x2[i]).
template <class Y, class F, class... X>
struct Elementwise;
template <class Y, class F, class X>
struct Elementwise<Y, F, X> {
  F f;
  Y* y;
  const X* x;
  template <class Count>
  PEN_HD void operator()(std::int64_t first, Count count) const {
    const auto from = read_eight(count, x + first);
    Pack<Y, 8> to;
    for (int j = 0; j < 8; ++j) to.at[j] = f(from.at[j]);
    write_eight(count, y + first, to);
  }
};
template <class Y, class F, class X1, class X2>
struct Elementwise<Y, F, X1, X2> {
  F f;
  Y* y;
  const X1* x1;
  const X2* x2;
  template <class Count>
  PEN_HD void operator()(std::int64_t first, Count count) const {
    const auto a = read_eight(count, x1 + first);
    const auto b = read_eight(count, x2 + first);
    Pack<Y, 8> to;
    for (int j = 0; j < 8; ++j) to.at[j] = f(a.at[j], b.at[j]);
    write_eight(count, y + first, to);
  }
};

// Whether packs may be read and written at all of these addresses (null: nothing is).
template <class... T>
bool aligned(const T*... p) {
  return ((reinterpret_cast<std::uintptr_t>(p) % 16 == 0) && ...);
}

}  // namespace pen::kernels::shared
