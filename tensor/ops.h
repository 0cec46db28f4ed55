// All differentiable operations: the public list. Each checks shapes and dtypes, calls kernels and records how its
// gradient is made. Errors name the operation, what came and what was expected.
#pragma once

#include <array>
#include <vector>

#include "base/rng.h"
#include "tensor/autograd.h"
#include "tensor/tensor.h"

namespace pen::ops {

// ---- networks (ops_nn.cpp)
struct ConvOptions {
  int stride = 1, pad = 0, dilation = 1, groups = 1;
};
// y (N,P,Q,K) = x (N,H,W,C) * w (K,C/groups,R,S) + b (K); b may be undefined.
// P = (H + 2 pad - dilation (R-1) - 1) / stride + 1.
// While one lives, convolutions of this thread, and their data gradients later, may run by Winograd's algorithm where
// the device has it: fewer products, other roundings. Without one the sums are direct.
class WinogradScope {
 public:
  explicit WinogradScope(bool allowed);
  ~WinogradScope();
  WinogradScope(const WinogradScope&) = delete;

 private:
  bool before_;
};
// x of 16 bit beside w and b of float32: the products of x and w rounded to x's type, sums in float32, y of x's type;
// gradients of w and b are of float32. narrow: w as x's type, where the caller keeps such a copy (else it is made
// here).
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const ConvOptions& options = {},
              const Tensor& narrow = {});
// The transpose of a convolution in its data: y (N,H,W,C) from x (N,P,Q,K) and w (K,C,R,S) as PyTorch's
// conv_transpose2d has it, H = (P-1) stride - 2 pad + dilation (R-1) + 1 + output_pad.
Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& b, const ConvOptions& options = {},
                        int output_pad = 0);
// y (N,K) = x (N,C) w^T (K,C) + b (K); b may be undefined.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b);

struct NormOptions {
  bool training = false;
  double momentum = 0.1;  // running = (1 - momentum) running + momentum * batch
  double eps = 1e-5;
  bool relu = false;  // y = max(norm(x) + residual, 0)
};
// Batch norm over all but the last dimension, then + residual (may be undefined), then ReLU. In training the running
// statistics (C) are updated, the variance with n/(n-1); in evaluation they normalise. x, residual and y may be of 16
// bit; everything else, and what is between x and y, is float32 then.
Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor running_mean, Tensor running_var,
                  const NormOptions& options, const Tensor& residual = {});

struct PoolOptions {
  int k = 2, stride = 2, pad = 0;
};
Tensor max_pool2d(const Tensor& x, const PoolOptions& options);  // ties: first in row-major order
Tensor avg_pool2d(const Tensor& x, const PoolOptions& options);  // padding is not counted
Tensor global_avg_pool(const Tensor& x);                         // (N,H,W,C) -> (N,C), of float32 if x is of 16 bit
// x as another type, rounded once (float32 <-> double, bf16, f16), and its gradient as x's.
Tensor convert(const Tensor& x, DType dtype);

// As PyTorch's interpolate with the output's size given.
Tensor resize_nearest(const Tensor& x, std::int64_t height, std::int64_t width);
// The s for which resize_nearest to height, width repeats each value of (N,h,w,C) s x s times; 0: there is none. (A
// whole factor alone is not enough: the indices are computed in float.)
std::int64_t nearest_repeats(std::int64_t h, std::int64_t w, std::int64_t height, std::int64_t width);
Tensor resize_bilinear(const Tensor& x, std::int64_t height, std::int64_t width, bool align_corners = false);
Tensor concat_channels(const std::vector<Tensor>& parts);  // along the last dimension
// The plane of v (N,C) repeated: (N,H,W,C).
Tensor broadcast_planes(const Tensor& v, std::int64_t height, std::int64_t width);
// x (N,H,W,C) with so many rows and columns of zeros added on each side; negative: cut off. At least one pixel is left.
Tensor pad2d(const Tensor& x, std::int64_t top, std::int64_t bottom, std::int64_t left, std::int64_t right);
// Four dimensions in another order: dimension i of the result is dimension order[i] of x.
Tensor permute(const Tensor& x, const std::array<int, 4>& order);
// Every plane of x (N,H,W,C) filtered with taps (2 radius + 1) along its rows and then along its columns, as a
// correlation, zeros outside; taps has the dtype of x and no gradient.
Tensor filter_separable(const Tensor& x, const Tensor& taps);
// Rows of table (classes,width) for ids (N, i64): (N,width). An id out of range is an Error if the ids are on the CPU;
// on a GPU, where nobody waits to look at them, its row is NaN.
Tensor embedding(const Tensor& table, const Tensor& ids);

// ---- elementwise and reductions (ops_math.cpp)
Tensor relu(const Tensor& x);
Tensor leaky_relu(const Tensor& x, double slope);
Tensor elu(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor abs(const Tensor& x);
Tensor square(const Tensor& x);
Tensor reciprocal(const Tensor& x);
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);        // same shapes
Tensor affine(const Tensor& x, double a, double b);  // a x + b
Tensor scale_by(const Tensor& x, const Tensor& s);   // x times the one element of s
Tensor sum(const Tensor& x);                         // one element
Tensor mean(const Tensor& x);                        // one element
Tensor mean_per_image(const Tensor& x);              // (N,...) -> (N)
Tensor reshape(const Tensor& x, Shape shape);
// Images [begin, begin + count) of a batch, and the join of batches along the first dimension.
Tensor slice_batch(const Tensor& x, std::int64_t begin, std::int64_t count);
Tensor concat_batch(const std::vector<Tensor>& parts);
// 1 where x > threshold, else 0, with the gradient of the identity (straight-through estimator).
Tensor round_straight_through(const Tensor& x, double threshold);
// 1 where x > threshold, else 0; no gradient.
Tensor step(const Tensor& x, double threshold);
// log(u + 1e-8) - log(1 - u + 1e-8), u uniform: the noise of binary Gumbel-softmax. No gradient.
Tensor logistic_noise(const Shape& shape, DType dtype, Device device, Rng& rng);

// ---- logits (N,classes) -> (N) unless said otherwise (ops_logits.cpp)
Tensor softmax(const Tensor& logits);      // (N,classes)
Tensor log_softmax(const Tensor& logits);  // (N,classes)
// labels (N, i64): one that is no class is an Error if they are on the CPU, and a loss of NaN if they are on a GPU.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels, double smoothing = 0);
Tensor entropy(const Tensor& logits);  // nats
// Divergence of q = softmax(logits) from a prior (classes): -sum prior log q, or backward -sum q (log prior - log q).
Tensor prior_divergence(const Tensor& logits, const Tensor& prior, bool backward);
std::vector<std::int64_t> argmax(const Tensor& logits);  // lowest index of the largest; no gradient
// The same, and what follows, stays on the device. No gradients.
Tensor argmax_ids(const Tensor& logits);  // (N) int64
// The class (N, int64) whose probability exceeds its prior (classes, double, on the device) most: by difference, or
// ratio.
Tensor largest_excess(const Tensor& probabilities, const Tensor& prior, bool divide);
// 1 where the ids (N, int64, on the device of `like`) are equal, else 0, as elements of `like`'s type.
Tensor equal_ids(const Tensor& a, const Tensor& b, const Tensor& like);

// ---- masks (ops_mask.cpp): x (N,H,W,C), m (N,H,W,1) in [0,1], or coarser: (N,h,w,1) with H = s h, W = s w, each value
// for s x s pixels, as resize_nearest would repeat it where nearest_repeats() is s
// Masked in: filling + m (x - filling); masked out: filling + (1 - m)(x - filling). filling undefined: zeros.
Tensor mask_in(const Tensor& x, const Tensor& m, const Tensor& filling = {});
Tensor mask_out(const Tensor& x, const Tensor& m, const Tensor& filling = {});
// That s; an m that fits x in no such way: an Error.
std::int64_t mask_scale(const Tensor& x, const Tensor& m);
// Per image: squared differences of vertical and horizontal neighbours + border * squares on the four borders.
Tensor total_variation(const Tensor& m, double border);
// Per image (N,3), no gradient: mean, mean of -m log2 m, mean squared vertical plus horizontal difference, all of m
// with each value repeated scale x scale times.
Tensor mask_statistics(const Tensor& m, std::int64_t scale = 1);

}  // namespace pen::ops
