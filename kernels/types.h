// What kernels are called with: element types, the device context, and small structs of dimensions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "kernels/shared/float16.h"

namespace pen {

enum class DType : std::uint8_t { f32, f64, f16, bf16, i64, i32, u8 };
std::size_t size_of(DType dtype);  // bytes of one element
const char* name_of(DType dtype);  // "f32", ...

// What sums, biases and images are of where activations and weights are T.
template <class T>
struct wide_of {
  using type = T;
};
template <>
struct wide_of<bf16> {
  using type = float;
};
template <>
struct wide_of<f16> {
  using type = float;
};
template <class T>
using wide_t = typename wide_of<T>::type;

template <class T>
struct dtype_of;
template <>
struct dtype_of<bf16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct dtype_of<f16> {
  static constexpr DType value = DType::f16;
};
template <>
struct dtype_of<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct dtype_of<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct dtype_of<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct dtype_of<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct dtype_of<std::uint8_t> {
  static constexpr DType value = DType::u8;
};

struct Device {
  enum class Kind : std::uint8_t { cpu, cuda } kind = Kind::cpu;
  int index = 0;
  bool is_cuda() const { return kind == Kind::cuda; }
  bool operator==(const Device&) const = default;
};
std::string name_of(Device device);  // "cpu", "cuda:0"
// "cpu", "cuda", "cuda:1", "auto" (cuda:0 if this build and machine have it). Anything else: a usage error; a GPU that
// is not there: a device error.
Device parse_device(const std::string& text);

namespace kernels {

// native: the twin of the device (cpu/ or cuda/). reference: the plain loops of ref/, on the CPU only.
enum class Backend : std::uint8_t { native, reference };

// How a GPU multiplies float32. fp32: as float32. tf32: products of 10-bit mantissas on tensor cores, sums in float32.
// The CPU's products are always float32.
enum class Math : std::uint8_t { fp32, tf32 };
const char* name_of(Math math);  // "fp32", "tf32"

// Where and how a kernel runs. `stream` is a cudaStream_t on a GPU and null on the CPU. deterministic: equal bits in
// every run; without it a GPU library may choose kernels that add in no fixed order.
struct Context {
  Device device;
  Backend backend = Backend::native;
  void* stream = nullptr;
  Math math = Math::fp32;
  bool deterministic = true;
};

// What recordings of a GPU have come to so far (kernels::device::Recording): graphs launched, nodes in them, and graphs
// of a shape that none before had.
struct RecordingCounts {
  std::int64_t graphs = 0, nodes = 0, instantiated = 0;
};

// Whether an output is overwritten or added to. Activation gradients are written, parameter gradients added.
enum class Accum : std::uint8_t { write, add };

// Convolution y (N,P,Q,K) = x (N,H,W,C) * w (K,C/groups,R,S); dilation counts from 1 (1 = dense).
struct Conv2d {
  std::int64_t n, h, w, c;  // input
  std::int64_t k, r, s;     // output channels, kernel rows and columns
  std::int64_t p, q;        // output rows and columns
  int stride = 1, pad = 0, dilation = 1, groups = 1;
  // Whether a convolution (forward and data gradient) may run by Winograd's algorithm: the same sums from fewer
  // products, rounded otherwise.
  bool winograd = false;
  // And where that takes four times the memory of very many weights (more than 65,536 pairs of channels).
  bool winograd_large = false;
  // Of the ReLU in convolutions of frozen networks, in [0,1): what is kept of a sum below zero (forward), or of a
  // gradient where the ReLU is closed (data gradient). 0: the plain ReLU. The others do not read it.
  double relu_slope = 0;
  // Names the contents of w: equal non-zero keys promise equal contents, so that a packed copy may be kept. 0: no
  // copy is kept, as the weights may have changed since the last call or were just computed.
  std::uint64_t weight_key = 0;
  // Names the memory that holds them, if not 0: a copy under a new key takes the place of the same owner's old one.
  std::uint64_t weight_owner = 0;
};

// Pooling windows of k x k over x (N,H,W,C), y (N,P,Q,C).
struct Pool2d {
  std::int64_t n, h, w, c;
  std::int64_t p, q;
  int k = 2, stride = 2, pad = 0;
};

// Rows x channels, as batch norm and bias see an activation (rows = N*H*W).
struct Rows {
  std::int64_t rows, c;
};

// c (m,n) = op(a) op(b); op(a) is m x k, op(b) is k x n; all row-major and dense.
struct Matmul {
  std::int64_t m, n, k;
  bool trans_a = false, trans_b = false;
};

// Resizing x (N,H,W,C) to y (N,P,Q,C). align_corners is meaningful for bilinear only.
struct Resize2d {
  std::int64_t n, h, w, c;
  std::int64_t p, q;
  bool align_corners = false;
};

// The values of masks (N,h,w), one below the other: rows = N h. Each stands for scale x scale pixels, its cell, of
// images (N, scale h, scale w, C).
struct MaskCells {
  std::int64_t rows, w;
  std::int64_t scale = 1;
};

// A window of x (N,H,W,C): y (N,P,Q,C) begins `top` rows above and `left` columns left of x; outside of x it is zero.
// Negative values cut.
struct Window2d {
  std::int64_t n, h, w, c;
  std::int64_t p, q;
  std::int64_t top = 0, left = 0;
};

// A reordering of four dimensions: y's dimension i is x's dimension order[i]; `sizes` are x's.
struct Permute4 {
  std::int64_t sizes[4];
  int order[4];
};

// How one image of a batch is resized by resize_pixels: its source pixels (rows,cols,3), dense bytes, and where its
// tables begin. An axis with `count` outputs and `stride` weights for each has in `tables`: the first input of each
// output (count), how many it reads (count), the weights (count,stride). Outputs land at row `top` and column `left` of
// the image that is made, mirrored within their columns if `flip`; what lies around them has bytes of zero.
struct PixelResize {
  std::int64_t pixels;      // of the source's first byte
  std::int64_t first_line;  // of its lines among those of all images
  std::int64_t x_table, y_table;
  std::int32_t cols;
  std::int32_t x_count, x_stride, y_count, y_stride;
  std::int32_t top, left, flip;
};

// x = (v / 255 - mean) / std for each channel of a pixel.
struct PixelNormal {
  float mean[3], std[3];
};

// Yes or no for each of n elements, one bit each: element i is bit i % 8 of byte i / 8; bits behind the last are 0.
constexpr std::int64_t bit_bytes(std::int64_t n) { return (n + 7) / 8; }

// What an update on a device goes by, three doubles in its memory: the sum of squares of all gradients, the factor that
// clips them, and 1 if every loss was finite, else 0: then nothing is changed.
enum UpdateControl : int { control_squares, control_scale, control_go, control_size };

// Which pixels a mask m in [0,1] keeps: m itself (masked in) or 1 - m (masked out).
enum class Side : std::uint8_t { in, out };

// How gradients pass a ReLU (attribution methods change it). standard: where x > 0. guided (Springenberg et al. 2014):
// positive gradients where x >= 0. deconvnet (Zeiler, Fergus 2013): positive gradients, wherever x is.
enum class ReluRule : std::uint8_t { standard, guided, deconvnet };

}  // namespace kernels
}  // namespace pen
