// Walks index spaces with a GPU's threads. One thread owns each output, sums are taken in an order that depends on the
// sizes alone (and on whether memory is aligned, which tensors always are): no atomics, and the same bits each time and
// on each GPU.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "base/rng.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/status.h"
#include "kernels/shared/pack.h"
#include "kernels/shared/team.h"
#include "kernels/shared/two_sums.h"

namespace pen::kernels::cuda {

using index_t = std::int64_t;
constexpr int block_threads = 256;

template <class F>
__global__ void __launch_bounds__(block_threads) map_kernel(index_t n, F f) {
  const index_t step = static_cast<index_t>(gridDim.x) * blockDim.x;
  for (index_t i = static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) f(i);
}

// ask() reads once what all elements share.
template <class Ask, class F>
__global__ void __launch_bounds__(block_threads) map_told_kernel(index_t n, Ask ask, F f) {
  const auto told = ask();
  const index_t step = static_cast<index_t>(gridDim.x) * blockDim.x;
  for (index_t i = static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) f(i, told);
}

// A thread has eight elements at a time.
template <class F>
__global__ void __launch_bounds__(block_threads) eights_kernel(index_t n, bool whole, F f) {
  const index_t step = static_cast<index_t>(gridDim.x) * blockDim.x * 8;
  for (index_t i = (static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x) * 8; i < n; i += step)
    if (whole && i + 8 <= n)
      f(i, shared::Whole{});
    else
      f(i, shared::Part{static_cast<int>(n - i < 8 ? n - i : 8)});
}

// threadIdx.x and the blocks of y run along the packs of columns, threadIdx.y and the blocks of x along the rows.
template <int W, class F>
__global__ void __launch_bounds__(block_threads) columns_kernel(index_t rows, index_t packs, F f) {
  const index_t step = static_cast<index_t>(gridDim.x) * blockDim.y;
  for (index_t p = static_cast<index_t>(blockIdx.y) * blockDim.x + threadIdx.x; p < packs;
       p += static_cast<index_t>(gridDim.y) * blockDim.x) {
    const auto g = f.template at<W>(p * W);
    for (index_t r = static_cast<index_t>(blockIdx.x) * blockDim.y + threadIdx.y; r < rows; r += step) g(r);
  }
}

// The sums of `piece` rows for `lanes` packs of columns (a power of two, up to 32): lanes along the packs, the other
// threads of the block share the rows, and its columns then share the sums of those threads. sums: (pieces, packs W).
template <class wide, int W, class F>
__global__ void __launch_bounds__(block_threads)
    two_sums_kernel(index_t rows, index_t packs, index_t piece, int lanes, F f, TwoSums* sums) {
  __shared__ alignas(16) unsigned char bytes[block_threads * W * sizeof(TwoSums)];
  TwoSums* const mine = reinterpret_cast<TwoSums*>(bytes);  // (worker, column of the block)
  const int thread = static_cast<int>(threadIdx.x), lane = thread & (lanes - 1);
  const int worker = thread / lanes, workers = block_threads / lanes, here = lanes * W;
  // As many groups of workers as there are threads for each column; one after the other within a group, then groups.
  const int groups = block_threads / here, each = workers / groups;
  const int column = thread % here, group = thread / here;
  const index_t begin = blockIdx.x * piece, end = min(rows, begin + piece);
  // All threads of a block make the same number of turns, so that the barriers match.
  for (index_t first = static_cast<index_t>(blockIdx.y) * lanes; first < packs;
       first += static_cast<index_t>(gridDim.y) * lanes) {
    shared::SumsOfColumns<wide, W> found;
    if (first + lane < packs) found.add(f.template at<W>((first + lane) * W), begin + worker, end, workers);
    for (int l = 0; l < W; ++l) mine[worker * here + lane * W + l] = found.of(l);
    __syncthreads();
    TwoSums sum{};
    for (int i = 0; i < each; ++i) sum += mine[(group * each + i) * here + column];
    __syncthreads();
    mine[group * here + column] = sum;
    __syncthreads();
    const index_t c = first * W + column;
    if (group == 0 && c < packs * W) {
      for (int i = 1; i < groups; ++i) sum += mine[i * here + column];
      sums[blockIdx.x * packs * W + c] = sum;
    }
    __syncthreads();
  }
}

// threadIdx.x runs along the columns (neighbours touch neighbours), blocks stride over both.
template <class F>
__global__ void __launch_bounds__(block_threads) grid_kernel(index_t rows, index_t cols, F f) {
  const index_t row_step = static_cast<index_t>(gridDim.x) * blockDim.y;
  const index_t col_step = static_cast<index_t>(gridDim.y) * blockDim.x;
  for (index_t r = static_cast<index_t>(blockIdx.x) * blockDim.y + threadIdx.y; r < rows; r += row_step)
    for (index_t c = static_cast<index_t>(blockIdx.y) * blockDim.x + threadIdx.x; c < cols; c += col_step) f(r, c);
}

// A sum of f's type (double, or a struct with a plain constructor and +=) per thread of a block. Raw memory, because
// shared variables may have no initialisers.
template <class Sum>
__device__ Sum* block_sums() {
  __shared__ alignas(16) unsigned char bytes[block_threads * sizeof(Sum)];
  return reinterpret_cast<Sum*>(bytes);
}

// A block as the team of a row (team.h). All its threads come to each sum and each search. The host's compiler sees
// these functions too, through the lambdas that call them, and gets the single worker.
constexpr int team_threads = 128;
struct BlockTeam {
  template <class F>
  PEN_HD double sum(index_t n, F f) const {
#ifdef __CUDA_ARCH__
    double* const sums = block_sums<double>();
    double mine = 0;
    for (index_t k = threadIdx.x; k < n; k += team_threads) mine += f(k);
    sums[threadIdx.x] = mine;
    for (unsigned half = team_threads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    __syncthreads();
    const double total = sums[0];
    __syncthreads();
    return total;
#else
    return OneWorker{}.sum(n, f);
#endif
  }

  template <class F>
  PEN_HD index_t largest(index_t n, F f) const {
#ifdef __CUDA_ARCH__
    index_t* const tops = block_sums<index_t>();
    index_t mine = 0;
    for (index_t k = threadIdx.x; k < n; k += team_threads)
      if (f(k) > f(mine)) mine = k;
    tops[threadIdx.x] = mine;
    for (unsigned half = team_threads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (threadIdx.x < half) {
        const index_t other = tops[threadIdx.x + half];
        mine = tops[threadIdx.x];
        if (f(other) > f(mine) || (f(other) == f(mine) && other < mine)) tops[threadIdx.x] = other;
      }
    }
    __syncthreads();
    const index_t top = tops[0];
    __syncthreads();
    return top;
#else
    return OneWorker{}.largest(n, f);
#endif
  }

  template <class F>
  PEN_HD void each(index_t n, F f) const {
#ifdef __CUDA_ARCH__
    for (index_t k = threadIdx.x; k < n; k += team_threads) f(k);
#else
    OneWorker{}.each(n, f);
#endif
  }

  PEN_HD bool first() const {
#ifdef __CUDA_ARCH__
    return threadIdx.x == 0;
#else
    return true;
#endif
  }
};

template <class F>
__global__ void __launch_bounds__(team_threads) rows_kernel(index_t n, F f) {
  for (index_t r = blockIdx.x; r < n; r += gridDim.x) f(r, BlockTeam{});
}

// g(row, sum over col of f(row, col)): `lanes` threads (a power of two) share a row, a block holds several rows.
template <class Sum, class F, class G>
__global__ void __launch_bounds__(block_threads) reduce_kernel(index_t rows, index_t cols, int lanes, F f, G g) {
  Sum* const sums = block_sums<Sum>();
  const int thread = static_cast<int>(threadIdx.x), lane = thread & (lanes - 1);
  const index_t rows_here = block_threads / lanes;
  // All threads of a block make the same number of turns, so that the barriers match.
  for (index_t first = blockIdx.x * rows_here; first < rows; first += gridDim.x * rows_here) {
    const index_t row = first + thread / lanes;
    Sum sum{};
    if (row < rows)
      for (index_t c = lane; c < cols; c += lanes) sum += f(row, c);
    sums[thread] = sum;
    for (int half = lanes / 2; half > 0; half /= 2) {
      __syncthreads();
      if (lane < half) sums[thread] += sums[thread + half];
    }
    if (lane == 0 && row < rows) g(row, sums[thread]);
    __syncthreads();
  }
}

// g(o, col, sum over row of f(o, row, col)): `lanes` threads (a power of two) run along the columns, the others of the
// block share the rows.
template <class Sum, class F, class G>
__global__ void __launch_bounds__(block_threads)
    middle_kernel(index_t outer, index_t rows, index_t cols, int lanes, F f, G g) {
  Sum* const sums = block_sums<Sum>();
  const int thread = static_cast<int>(threadIdx.x), lane = thread & (lanes - 1);
  const int worker = thread / lanes, workers = block_threads / lanes;
  for (index_t o = blockIdx.x; o < outer; o += gridDim.x)
    for (index_t first = static_cast<index_t>(blockIdx.y) * lanes; first < cols;
         first += static_cast<index_t>(gridDim.y) * lanes) {
      const index_t c = first + lane;
      Sum sum{};
      if (c < cols)
        for (index_t r = worker; r < rows; r += workers) sum += f(o, r, c);
      sums[thread] = sum;
      for (int half = workers / 2; half > 0; half /= 2) {
        __syncthreads();
        if (worker < half) sums[thread] += sums[thread + half * lanes];
      }
      if (worker == 0 && c < cols) g(o, c, sums[thread]);
      __syncthreads();
    }
}

// A sum over a long axis takes two passes: pieces of a fixed length into temporary memory, then the pieces. Row t of
// the first pass is piece t % pieces of row t / pieces.
template <class Sum, class F>
struct PieceOfRow {
  F f;
  index_t pieces, piece, cols;
  __device__ Sum operator()(index_t t, index_t i) const {
    const index_t c = t % pieces * piece + i;
    return c < cols ? f(t / pieces, c) : Sum{};
  }
};

template <class Sum, class F>
struct PieceOfMiddle {
  F f;
  index_t pieces, piece, rows;
  __device__ Sum operator()(index_t t, index_t i, index_t c) const {
    const index_t r = t % pieces * piece + i;
    return r < rows ? f(t / pieces, r, c) : Sum{};
  }
};

// Partial sums as a dense matrix: stored by the first pass, read by the second.
template <class Sum>
struct Partial {
  Sum* sums;
  index_t cols;  // of the matrix
  __device__ void operator()(index_t r, Sum sum) const { sums[r] = sum; }
  __device__ void operator()(index_t r, index_t c, Sum sum) const { sums[r * cols + c] = sum; }
};
template <class Sum>
struct PartialOfRow {
  const Sum* sums;
  index_t pieces;
  __device__ Sum operator()(index_t r, index_t i) const { return sums[r * pieces + i]; }
};
template <class Sum>
struct PartialOfMiddle {
  const Sum* sums;
  index_t pieces, cols;
  __device__ Sum operator()(index_t o, index_t i, index_t c) const { return sums[(o * pieces + i) * cols + c]; }
};

// One column: a middle axis is then an ordinary row.
template <class Sum, class F>
struct RowOfMiddle {
  F f;
  PEN_HD Sum operator()(index_t o, index_t r) const { return f(o, r, 0); }
};
template <class Sum, class G>
struct ResultOfMiddle {
  G g;
  __device__ void operator()(index_t o, Sum sum) const { g(o, 0, sum); }
};

// Without the outer axis.
template <class G>
struct SumOfMiddle {
  G g;
  __device__ void operator()(index_t, index_t c, TwoSums sum) const { g(c, sum); }
};

class Exec {
 public:
  // Working memory of a kernel, in the order of its stream.
  template <class T>
  class Memory {
   public:
    Memory(const Exec& exec, index_t n) : block_(static_cast<std::size_t>(n) * sizeof(T), exec.stream_) {}
    T* data() { return block_.as<T>(); }

   private:
    Temporary block_;
  };

  explicit Exec(const Context& ctx) : gpu_(gpu(ctx.device.index)), scope_(ctx.device.index), stream_(stream_of(ctx)) {}

  template <class F>
  void map(index_t n, F f) const {
    if (n <= 0) return;
    map_kernel<<<blocks(n, block_threads), block_threads, 0, stream_>>>(n, f);
    PEN_CUDA(cudaGetLastError());
  }

  template <class Ask, class F>
  void map_told(index_t n, Ask ask, F f) const {
    if (n <= 0) return;
    map_told_kernel<<<blocks(n, block_threads), block_threads, 0, stream_>>>(n, ask, f);
    PEN_CUDA(cudaGetLastError());
  }

  template <class Y, class F, class... X>
  void each(index_t n, Y* y, F f, const X*... x) const {
    eights(n, shared::aligned(y, x...), shared::Elementwise<Y, F, X...>{f, y, x...});
  }

  template <class F>
  void eights(index_t n, bool whole, F f) const {
    if (n <= 0) return;
    eights_kernel<<<blocks(bit_bytes(n), block_threads), block_threads, 0, stream_>>>(n, whole, f);
    PEN_CUDA(cudaGetLastError());
  }

  template <class F>
  void columns(index_t rows, index_t cols, bool whole, F f) const {
    if (rows <= 0 || cols <= 0) return;
    if (whole && cols % 8 == 0)
      columns_of<8>(rows, cols / 8, f);
    else
      columns_of<1>(rows, cols, f);
  }

  template <class wide, class F, class G>
  void two_sums(index_t rows, index_t cols, bool whole, F f, G g) const {
    if (cols <= 0) return;
    // A piece has so many elements: it depends on the sizes alone, as bits must.
    constexpr index_t elements = 32768;
    const index_t piece = std::max<index_t>((elements + cols - 1) / cols, 64);
    const index_t pieces = std::max<index_t>((rows + piece - 1) / piece, 1);
    Memory<TwoSums> partial(*this, pieces * cols);
    if (whole && cols % 8 == 0)
      two_sums_of<wide, 8>(rows, cols / 8, piece, pieces, f, partial.data());
    else
      two_sums_of<wide, 1>(rows, cols, piece, pieces, f, partial.data());
    // Few columns for each block, which has more threads for the pieces.
    middle_once<TwoSums>(1, pieces, cols, PartialOfMiddle<TwoSums>{partial.data(), pieces, cols}, SumOfMiddle<G>{g}, 4);
  }

  template <class F>
  void grid(index_t rows, index_t cols, F f) const {
    if (rows <= 0 || cols <= 0) return;
    const int wide =
        cols <= 32 ? power_of_two(cols, 32) : static_cast<int>(std::min<index_t>((cols + 31) / 32 * 32, 256));
    const int high = block_threads / wide;
    const unsigned across = std::min(blocks(cols, wide), 1024u);
    const dim3 extent(down(rows, high, across), across);
    grid_kernel<<<extent, dim3(static_cast<unsigned>(wide), static_cast<unsigned>(high)), 0, stream_>>>(rows, cols, f);
    PEN_CUDA(cudaGetLastError());
  }

  using Team = BlockTeam;
  template <class F>
  void rows(index_t n, F f) const {
    if (n <= 0) return;
    rows_kernel<<<blocks(n, 1), team_threads, 0, stream_>>>(n, f);
    PEN_CUDA(cudaGetLastError());
  }

  template <class F, class G>
  void reduce(index_t rows, index_t cols, F f, G g) const {
    using Sum = std::invoke_result_t<F, index_t, index_t>;
    if (rows <= 0) return;
    constexpr index_t piece = 32768;
    const index_t pieces = (cols + piece - 1) / piece;
    if (pieces <= 1 || rows >= 1024) {  // enough rows to fill the GPU
      reduce_once<Sum>(rows, cols, f, g);
      return;
    }
    Memory<Sum> partial(*this, rows * pieces);
    Sum* sums = partial.data();
    reduce_once<Sum>(rows * pieces, piece, PieceOfRow<Sum, F>{f, pieces, piece, cols}, Partial<Sum>{sums, 1});
    reduce_once<Sum>(rows, pieces, PartialOfRow<Sum>{sums, pieces}, g);
  }

  template <class F, class G>
  void reduce_middle(index_t outer, index_t rows, index_t cols, F f, G g) const {
    using Sum = std::invoke_result_t<F, index_t, index_t, index_t>;
    if (outer <= 0 || cols <= 0) return;
    if (cols == 1) {
      reduce(outer, rows, RowOfMiddle<Sum, F>{f}, ResultOfMiddle<Sum, G>{g});
      return;
    }
    constexpr index_t piece = 512;
    const index_t pieces = (rows + piece - 1) / piece;
    if (pieces <= 1 || outer * cols >= 32768) {  // enough sums to fill the GPU
      middle_once<Sum>(outer, rows, cols, f, g);
      return;
    }
    Memory<Sum> partial(*this, outer * pieces * cols);
    Sum* sums = partial.data();
    middle_once<Sum>(outer * pieces, piece, cols, PieceOfMiddle<Sum, F>{f, pieces, piece, rows},
                     Partial<Sum>{sums, cols});
    middle_once<Sum>(outer, pieces, cols, PartialOfMiddle<Sum>{sums, pieces, cols}, g);
  }

 private:
  // Blocks that cover n with `size` each, at most 32 for each multiprocessor: the kernels stride over the rest.
  unsigned blocks(index_t n, index_t size) const {
    return static_cast<unsigned>(std::min<index_t>((n + size - 1) / size, index_t{32} * gpu_.multiprocessors));
  }

  // The same where `across` blocks lie side by side: how many of those.
  unsigned down(index_t n, index_t size, unsigned across) const {
    return std::min(blocks(n, size), std::max(32u * static_cast<unsigned>(gpu_.multiprocessors) / across, 1u));
  }

  // The smallest power of two that is at least n, and at most `most`.
  static int power_of_two(index_t n, int most) {
    int p = 1;
    while (p < n && p < most) p *= 2;
    return p;
  }

  template <class Sum, class F, class G>
  void reduce_once(index_t rows, index_t cols, F f, G g) const {
    const int lanes = power_of_two((cols + 3) / 4, block_threads);  // four terms for each thread, where there are
    reduce_kernel<Sum><<<blocks(rows, block_threads / lanes), block_threads, 0, stream_>>>(rows, cols, lanes, f, g);
    PEN_CUDA(cudaGetLastError());
  }

  template <int W, class F>
  void columns_of(index_t rows, index_t packs, F f) const {
    const int wide = power_of_two(packs, 64), high = block_threads / wide;
    const auto across = static_cast<unsigned>(std::min<index_t>((packs + wide - 1) / wide, 1024));
    // Eight rows for each thread, so that reading what columns need is little of the work, unless that left
    // multiprocessors idle.
    const index_t most = (rows + high - 1) / high, fill = 16 * index_t{gpu_.multiprocessors} / across + 1;
    const dim3 extent(static_cast<unsigned>(std::min(most, std::max((most + 7) / 8, fill))), across);
    columns_kernel<W>
        <<<extent, dim3(static_cast<unsigned>(wide), static_cast<unsigned>(high)), 0, stream_>>>(rows, packs, f);
    PEN_CUDA(cudaGetLastError());
  }

  template <class wide, int W, class F>
  void two_sums_of(index_t rows, index_t packs, index_t piece, index_t pieces, F f, TwoSums* sums) const {
    const int lanes = power_of_two(packs, 32);
    const dim3 extent(static_cast<unsigned>(pieces),
                      static_cast<unsigned>(std::min<index_t>((packs + lanes - 1) / lanes, 1024)));
    two_sums_kernel<wide, W><<<extent, block_threads, 0, stream_>>>(rows, packs, piece, lanes, f, sums);
    PEN_CUDA(cudaGetLastError());
  }

  template <class Sum, class F, class G>
  void middle_once(index_t outer, index_t rows, index_t cols, F f, G g, int most_lanes = 32) const {
    const int lanes = power_of_two(cols, most_lanes);
    const unsigned across = std::min(blocks(cols, lanes), 1024u);
    const dim3 extent(down(outer, 1, across), across);
    middle_kernel<Sum><<<extent, block_threads, 0, stream_>>>(outer, rows, cols, lanes, f, g);
    PEN_CUDA(cudaGetLastError());
  }

  const Gpu& gpu_;
  DeviceScope scope_;
  cudaStream_t stream_;
};

}  // namespace pen::kernels::cuda
