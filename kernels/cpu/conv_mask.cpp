// The last step back of FIX: from the first convolution to the mask. For each band of image rows the patches that the
// convolution read are a matrix product, (dy_in - dy_out) times the weights; they are added up where they overlap and
// multiplied with the image while they are in the cache. oneDNN's data gradient of such a convolution, with three
// channels where its kernels want sixteen, takes five times as long, for twice the images.
#include <algorithm>
#include <vector>

#include "base/parallel.h"
#include "kernels/cpu/dnnl_common.h"
#include "kernels/kernels.h"
#include "kernels/shared/math.inl"

namespace pen::kernels::cpu {
namespace {

// Image rows of one piece, less what is no whole cell: fixed, so that the bits do not depend on the threads.
constexpr std::int64_t band = 32;
constexpr std::int64_t chunk = 512;  // windows of one product: their patches stay in the cache

// (K,C,R,S) -> (K,R,S,C): a row is what one channel has in a patch of pixels.
template <class T>
std::vector<float> by_patch(const Conv2d& d, const T* w) {
  const std::int64_t area = d.r * d.s;
  std::vector<float> out(static_cast<std::size_t>(d.k * d.c * area));
  for (std::int64_t k = 0; k < d.k; ++k)
    for (std::int64_t c = 0; c < d.c; ++c)
      for (std::int64_t i = 0; i < area; ++i)
        out[static_cast<std::size_t>((k * area + i) * d.c + c)] = w[(k * d.c + c) * area + i];
  return out;
}

// Adds the patch of window (p, q) to the rows [top, bottom) of an image's gradient; `rows` begins at row `top`.
void add_patch(const Conv2d& d, const float* patch, std::int64_t p, std::int64_t q, std::int64_t top,
               std::int64_t bottom, float* rows) {
  const std::int64_t left = q * d.stride - d.pad;
  for (std::int64_t r = 0; r < d.r; ++r) {
    const std::int64_t h = p * d.stride - d.pad + r * d.dilation;
    if (h < top || h >= bottom) continue;
    const float* from = patch + r * d.s * d.c;
    float* row = rows + (h - top) * d.w * d.c;
    if (d.dilation == 1) {  // pixels side by side
      const std::int64_t first = std::max<std::int64_t>(-left, 0), last = std::min(d.w - left, d.s);
      const std::int64_t at = left * d.c;
#pragma GCC ivdep
      for (std::int64_t i = first * d.c; i < last * d.c; ++i) row[at + i] += from[i];
      continue;
    }
    for (std::int64_t s = 0; s < d.s; ++s) {
      const std::int64_t v = left + s * d.dilation;
      if (v < 0 || v >= d.w) continue;
      for (std::int64_t c = 0; c < d.c; ++c) row[v * d.c + c] += from[s * d.c + c];
    }
  }
}

struct Room {
  std::vector<float> difference, patches, rows;
};

template <class T>
void one_band(const Conv2d& d, std::int64_t scale, const T* dy_in, const T* dy_out, const float* w, const float* x,
              std::int64_t n, std::int64_t top, std::int64_t bottom, Room& room, float* dm) {
  const std::int64_t patch = d.r * d.s * d.c, reach = (d.r - 1) * d.dilation;
  std::fill(room.rows.begin(), room.rows.end(), 0.0f);
  // The windows that read these rows: p stride - pad <= bottom - 1 and p stride - pad + reach >= top.
  const std::int64_t least = top + d.pad - reach;
  const std::int64_t first = least <= 0 ? 0 : (least + d.stride - 1) / d.stride;
  const std::int64_t last = std::min(d.p, (bottom - 1 + d.pad) / d.stride + 1);
  for (std::int64_t o = first * d.q; o < last * d.q; o += chunk) {
    const std::int64_t count = std::min(chunk, last * d.q - o), at = (n * d.p * d.q + o) * d.k;
    float* const difference = room.difference.data();
#pragma GCC ivdep
    for (std::int64_t i = 0; i < count * d.k; ++i) difference[i] = dy_in[at + i] - dy_out[at + i];
    const dnnl_status_t status =
        dnnl_sgemm('N', 'N', count, patch, d.k, 1.0f, difference, d.k, w, patch, 0.0f, room.patches.data(), patch);
    PEN_CHECK(status == dnnl_success, "conv2d_bwd_mask: oneDNN's sgemm reports status ", static_cast<int>(status));
    for (std::int64_t i = 0; i < count; ++i)
      add_patch(d, room.patches.data() + i * patch, (o + i) / d.q, (o + i) % d.q, top, bottom, room.rows.data());
  }
  const std::int64_t pixel = (n * d.h + top) * d.w;
  const MaskCells cells{(bottom - top) / scale, d.w / scale, scale};
  for (std::int64_t cell = 0; cell < cells.rows * cells.w; ++cell) {
    float sum = 0;
    shared::each_pixel(cells, cell, [&](std::int64_t i) {
      for (std::int64_t c = 0; c < d.c; ++c)
        sum += room.rows[static_cast<std::size_t>(i * d.c + c)] * x[(pixel + i) * d.c + c];
    });
    dm[pixel / (scale * scale) + cell] = sum;
  }
}

template <class T>
void backward_mask(const Conv2d& d, std::int64_t scale, const T* dy_in, const T* dy_out, const T* w, const float* x,
                   float* dm) {
  PEN_CHECK(d.groups == 1, "conv2d_bwd_mask: ", d.groups, " groups");
  const std::vector<float> weights = by_patch(d, w);
  const std::int64_t high = std::max<std::int64_t>(band / scale, 1) * scale;  // whole cells
  const std::int64_t bands = (d.h + high - 1) / high;
  parallel_for(d.n * bands, 1, [&](std::int64_t begin, std::int64_t end) {
    Room room{std::vector<float>(static_cast<std::size_t>(chunk * d.k)),
              std::vector<float>(static_cast<std::size_t>(chunk * d.r * d.s * d.c)),
              std::vector<float>(static_cast<std::size_t>(high * d.w * d.c))};
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t top = i % bands * high;
      one_band(d, scale, dy_in, dy_out, weights.data(), x, i / bands, top, std::min(top + high, d.h), room, dm);
    }
  });
}

}  // namespace

#define PEN_DEFINE(T)                                                                                        \
  void conv2d_bwd_mask(const Context&, const Conv2d& d, std::int64_t scale, const T* dy_in, const T* dy_out, \
                       const T* w, const float* x, float* dm) {                                              \
    backward_mask(d, scale, dy_in, dy_out, w, x, dm);                                                        \
  }
PEN_DEFINE(float)
PEN_DEFINE(bf16)
PEN_DEFINE(f16)
#undef PEN_DEFINE

// Double is for checks: it runs the plain loops.
void conv2d_bwd_mask(const Context& ctx, const Conv2d& d, std::int64_t scale, const double* dy_in, const double* dy_out,
                     const double* w, const double* x, double* dm) {
  ref::conv2d_bwd_mask(ctx, d, scale, dy_in, dy_out, w, x, dm);
}

}  // namespace pen::kernels::cpu
