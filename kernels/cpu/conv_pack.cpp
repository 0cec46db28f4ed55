#include "kernels/cpu/conv_pack.h"

#include <algorithm>

#include "base/parallel.h"

namespace pen::kernels::cpu {
namespace {

using std::int64_t;

constexpr int64_t side = 16;  // of a tile: a cache line of floats
constexpr int64_t most_area = 64;

// Calls f(k, ks, c, cs) on tiles of at most side x side filters, on all threads.
template <class F>
void for_tiles(const BlockedWeights& d, F f) {
  const int64_t rows = (d.k + side - 1) / side, columns = (d.c + side - 1) / side;
  const int64_t grain = std::max<int64_t>(32768 / (side * side * d.r * d.s), 1);
  parallel_for(rows * columns, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t k = t / columns * side, c = t % columns * side;
      f(k, std::min(side, d.k - k), c, std::min(side, d.c - c));
    }
  });
}

int64_t place(const BlockedWeights& d, int64_t k, int64_t c) {
  return k / d.block_k * d.stride_k + k % d.block_k * d.inner_k + c / d.block_c * d.stride_c +
         c % d.block_c * d.inner_c;
}

// Where each element of a filter tile's row begins, counted from the tile's first: (c,r,s) as in K,C,R,S.
void row_places(const BlockedWeights& d, int64_t k, int64_t c, int64_t cs, int64_t* out) {
  const int64_t origin = place(d, k, c);
  for (int64_t j = 0; j < cs; ++j)
    for (int64_t r = 0; r < d.r; ++r)
      for (int64_t s = 0; s < d.s; ++s) *out++ = place(d, k, c + j) - origin + r * d.stride_r + s * d.stride_s;
}

}  // namespace

std::optional<BlockedWeights> blocked_weights(const dnnl::memory::desc& layout) {
  const dnnl_memory_desc_t& m = layout.data;
  if (m.format_kind != dnnl_blocked || m.ndims != 4 || m.data_type != dnnl_f32 || m.offset0 || m.extra.flags) return {};
  const dnnl_blocking_desc_t& b = m.format_desc.blocking;
  BlockedWeights d{m.dims[0],
                   m.dims[1],
                   m.dims[2],
                   m.dims[3],
                   1,
                   1,
                   b.strides[0],
                   b.strides[1],
                   b.strides[2],
                   b.strides[3],
                   0,
                   0,
                   static_cast<int64_t>(layout.get_size() / sizeof(float))};
  int64_t inner = 1;
  for (int i = b.inner_nblks - 1; i >= 0; --i) {
    int64_t& block = b.inner_idxs[i] == 0 ? d.block_k : d.block_c;
    if (b.inner_idxs[i] > 1 || block != 1) return {};
    (b.inner_idxs[i] == 0 ? d.inner_k : d.inner_c) = inner;
    block = b.inner_blks[i];
    inner *= block;
  }
  // A tile must lie within one block, or an unblocked axis be walked by its stride.
  const auto whole = [](int64_t block) { return block == 1 || block % side == 0; };
  if (!whole(d.block_k) || !whole(d.block_c) || d.r * d.s > most_area) return {};
  if (!(d.block_k > 1 && d.inner_k == 1) && !(d.block_c > 1 && d.inner_c == 1)) return {};
  return d;
}

void pack_weights(const BlockedWeights& d, const float* plain, float* packed) {
  if (d.k % d.block_k || d.c % d.block_c)
    parallel_for(d.size, 16384, [=](int64_t begin, int64_t end) { std::fill(packed + begin, packed + end, 0.0f); });
  const int64_t area = d.r * d.s;
  for_tiles(d, [&](int64_t k, int64_t ks, int64_t c, int64_t cs) {
    int64_t places[side * most_area];
    row_places(d, k, c, cs, places);
    const float* const from = plain + (k * d.c + c) * area;
    float* const to = packed + place(d, k, c);
    if (d.inner_c == 1 && d.block_c > 1) {
      const int64_t step = d.block_k > 1 ? d.inner_k : d.stride_k;
      for (int64_t i = 0; i < ks; ++i)
        for (int64_t a = 0; a < area; ++a) {
          const float* const x = from + i * d.c * area + a;
          float* const y = to + i * step + places[a];
          for (int64_t j = 0; j < cs; ++j) y[j] = x[j * area];
        }
      return;
    }
    // The rows of K lie a power of two apart: through a tile of our own, they do not push each other out of the cache.
    float tile[side][side * most_area + 1];
    const int64_t n = cs * area;
    for (int64_t i = 0; i < ks; ++i) std::copy_n(from + i * d.c * area, n, tile[i]);
    for (int64_t e = 0; e < n; ++e) {
      float* const y = to + places[e];
      if (ks == side)
        for (int64_t i = 0; i < side; ++i) y[i] = tile[i][e];
      else
        for (int64_t i = 0; i < ks; ++i) y[i] = tile[i][e];
    }
  });
}

void unpack_weights(const BlockedWeights& d, const float* packed, Accum accum, float* plain) {
  const int64_t area = d.r * d.s, step = d.block_k > 1 ? d.inner_k : d.stride_k;
  for_tiles(d, [&](int64_t k, int64_t ks, int64_t c, int64_t cs) {
    int64_t places[side * most_area];
    row_places(d, k, c, cs, places);
    const float* const from = packed + place(d, k, c);
    const int64_t n = cs * area;
    float row[side * most_area];
    for (int64_t i = 0; i < ks; ++i) {
      const float* const x = from + i * step;
      float* const y = plain + ((k + i) * d.c + c) * area;
      for (int64_t e = 0; e < n; ++e) row[e] = x[places[e]];
      if (accum == Accum::add)
        for (int64_t e = 0; e < n; ++e) y[e] += row[e];
      else
        for (int64_t e = 0; e < n; ++e) y[e] = row[e];
    }
  });
}

}  // namespace pen::kernels::cpu
