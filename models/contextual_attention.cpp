#include "models/contextual_attention.h"

#include "base/check.h"
#include "tensor/ops.h"

namespace pen {
namespace {

constexpr int match = 3, paste = 4, rate = 2;  // sides of compared and pasted patches; what both maps are reduced by
constexpr double softmax_scale = 10, patch_eps = 1e-4;

// All k x k patches of x (1,H,W,C), one every `stride`, in zeros: (patches,C,k,k). A convolution whose filters each
// pick one place of one channel.
Tensor patches(const Tensor& x, int k, int stride) {
  const std::int64_t c = x.size(3), area = static_cast<std::int64_t>(k) * k;
  std::vector<double> pick(static_cast<std::size_t>(c * area * area), 0.0);
  for (std::int64_t filter = 0; filter < c * area; ++filter)
    pick[static_cast<std::size_t>(filter * area + filter % area)] = 1;
  const Tensor filters = Tensor::from(pick, {c * area, 1, k, k}).to(x.dtype()).to(x.device());
  const Tensor out = ops::conv2d(x, filters, {}, {.stride = stride, .pad = 1, .groups = static_cast<int>(c)});
  return ops::reshape(out, {out.size(1) * out.size(2), c, k, k});
}

// scores (1,h,w,h*w): [place, source] plus its neighbours [place - 1, source - 1] and [place + 1, source + 1], counting
// along rows, and then the same along columns. Continuous regions are preferred to single matches.
Tensor fused(const Tensor& scores) {
  const std::int64_t h = scores.size(1), w = scores.size(2), n = h * w;
  const Tensor diagonal =
      Tensor::from(std::vector<double>{1, 0, 0, 0, 1, 0, 0, 0, 1}, {1, 1, 3, 3}).to(scores.dtype()).to(scores.device());
  const auto along = [&](const Tensor& t) {
    return ops::conv2d(ops::reshape(t, {1, n, n, 1}), diagonal, {}, {.pad = 1});
  };
  const Tensor by_columns = ops::permute(ops::reshape(along(scores), {h, w, h, w}), {1, 0, 3, 2});
  const Tensor both = ops::permute(ops::reshape(along(by_columns), {w, h, w, h}), {1, 0, 3, 2});
  return ops::reshape(both, {1, h, w, n});
}

// (1,h,w,sources): 1 where the patch around a source touches no hole.
Tensor usable(const Tensor& mask) {
  const std::int64_t h = mask.size(1), w = mask.size(2);
  const Tensor ones = Tensor::full({1, 1, match, match}, 1, mask.dtype(), mask.device());
  const Tensor touched = ops::step(ops::conv2d(mask, ones, {}, {.pad = 1}), 0);
  return ops::broadcast_planes(ops::reshape(ops::affine(touched, -1, 1), {1, h * w}), h, w);
}

Tensor attend(const Tensor& x, const Tensor& sources) {
  const std::int64_t h = x.size(1) / rate, w = x.size(2) / rate, c = x.size(3);
  const Tensor small = ops::resize_nearest(x, h, w);
  const Tensor compared = patches(small, match, 1);
  const std::int64_t count = compared.size(0), length = c * match * match;
  const Tensor raw = ops::conv2d(small, compared, {}, {.pad = 1});  // (1,h,w,count)
  // Divided by each source's norm: a norm layer in evaluation with the sums of squares as variances.
  const Tensor squares = ops::affine(ops::mean_per_image(ops::square(ops::reshape(compared, {count, length}))),
                                     static_cast<double>(length), 0);
  const Tensor zeros = Tensor::zeros({count}, x.dtype(), x.device()),
               one = Tensor::full({count}, 1, x.dtype(), x.device());
  Tensor scores =
      ops::batch_norm(raw, one, zeros, zeros.clone(), squares, {.eps = patch_eps * static_cast<double>(length)});
  scores = ops::mul(fused(scores), sources);
  const Tensor weights = ops::softmax(ops::reshape(ops::affine(scores, softmax_scale, 0), {h * w, count}));
  const Tensor attention = ops::mul(ops::reshape(weights, {1, h, w, count}), sources);
  const Tensor pasted = ops::conv_transpose2d(attention, patches(x, paste, rate), {}, {.stride = rate, .pad = 1});
  return ops::affine(pasted, 0.25, 0);
}

}  // namespace

Tensor contextual_attention(const Tensor& features, const Tensor& mask, bool a_shared_mask) {
  const Shape& s = features.shape();
  PEN_CHECK(s.size() == 4 && s[1] % rate == 0 && s[2] % rate == 0 && s[1] > 0 && s[2] > 0,
            "contextual_attention: features ", to_string(s), " must have an even number of rows and columns");
  PEN_CHECK((mask.shape() == Shape{s[0], s[1] / rate, s[2] / rate, 1}), "contextual_attention: mask ",
            to_string(mask.shape()), " for features ", to_string(s));
  std::vector<Tensor> out;
  for (std::int64_t i = 0; i < s[0]; ++i)
    out.push_back(attend(ops::slice_batch(features, i, 1), usable(ops::slice_batch(mask, a_shared_mask ? 0 : i, 1))));
  return ops::concat_batch(out);
}

}  // namespace pen
