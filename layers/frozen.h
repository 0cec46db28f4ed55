// A network in evaluation mode as ONE differentiable operation. Norms are folded into the convolutions (in double,
// rounded once), bias, residual and ReLU are part of them, and the backward computes the gradient of the input alone:
// it keeps a bit for each ReLU, a byte for each pool winner and no activation. Function and gradient are those of the
// network it was made from, up to the rounding of the folded weights.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "layers/basic.h"

namespace pen {

// The steps of a network, in the order they run in. A network describes itself to it by walking through its forward
// pass with values in the place of tensors.
class FrozenSteps {
 public:
  using Value = int;
  static constexpr Value none = -1;

  enum class Kind : std::uint8_t { conv, max_pool, global_pool, linear };
  struct Step {
    Kind kind = Kind::conv;
    Value in = none, residual = none, out = none;
    bool relu = false;
    double slope = 0;     // of the ReLU below zero
    Tensor weight, bias;  // conv (K,C,R,S) and (K), norm folded in; linear (K,C) and (K)
    ops::ConvOptions conv;
    ops::PoolOptions pool;
  };

  Value input() const { return 0; }
  // act(norm(conv(x)) + residual), act = ReLU of this slope if `relu`. `norm` may be null. A norm in training mode,
  // weights that are not finite or a slope outside of [0,1): an Error.
  Value conv(Value x, const Conv2d& layer, const BatchNorm2d* norm, bool relu, Value residual = none, double slope = 0);
  Value max_pool(Value x, const ops::PoolOptions& options);
  Value global_avg_pool(Value x);              // (N,H,W,C) -> (N,C)
  Value linear(Value x, const Linear& layer);  // the last step: its result is the network's
  void tap(Value x) { taps_.push_back(x); }

  // Convolutions' weights as bf16 or f16; what they are added to, biases and the linear layer stay as they are. A
  // weight beyond f16's largest: an Error.
  void narrow_weights(DType type);

  const std::vector<Step>& steps() const { return steps_; }
  const std::vector<Value>& taps() const { return taps_; }
  int values() const { return static_cast<int>(steps_.size()) + 1; }

 private:
  Value add(Step step);
  std::vector<Step> steps_;
  std::vector<Value> taps_;
};

// A weight that is an infinity or no number: there is no folded form of it.
class NotFinite : public Error {
 public:
  explicit NotFinite(const std::string& message) : Error(ErrorKind::run, message) {}
};

struct FreezeOptions {
  // Convolutions of 3x3 may run by Winograd's algorithm where the backend has it: faster, the same function, sums
  // rounded otherwise.
  bool winograd = false;
  // Those with very many weights too, whose transformed ones take four times as much: 28 MB more for each convolution
  // of 512 to 512 channels and each direction.
  bool winograd_large = false;
  // bf16 or f16 (of a float32 network): activations, their gradients and the convolutions' weights are of this type
  // inside; sums, biases, the mean over the image, logits, taps and gradients that leave it are float32. f32: all as
  // the network.
  DType inside = DType::f32;
  // Of f16, whose steps end at 2^-24; a power of two: the gradient of the logits is multiplied by it on its way in and
  // what leaves is divided by it, both exactly, in float32. A gradient that overflows inside leaves as an infinity or a
  // NaN.
  double gradient_scale = 1024;
  // On the CPU so many images go through a stretch of steps at a time: cache_bytes * threads / bytes of one image's
  // largest value in it, at least one. What of a value stays in the caches until the next step reads it.
  std::int64_t cache_bytes = std::int64_t{7} << 19;
};

class FrozenNetwork {
 public:
  // Weights are copied: later changes to the network do not reach it.
  explicit FrozenNetwork(FrozenSteps steps, const FreezeOptions& options = {});

  struct Output {
    Tensor logits;             // (N,classes), with x's history
    std::vector<Tensor> taps;  // as the network lists them, without history; empty if not wanted
  };
  // x (N,H,W,3) of the network's dtype and device. An image with a NaN or an infinity has NaN logits.
  Output forward(const Tensor& x, bool want_taps) const;

  // Logits (2N,classes) of images (N,H,W,3) as a mask leaves them, (N,H,W,1) or coarser (ops::mask_in): masked in, m x,
  // then masked out, (1 - m) x, as one batch. The images have no gradient; the mask's is made from the first
  // convolution's without one of the masked images (Phang, Park, Geras 2020: d m = sum of x (d in - d out), and a
  // convolution's transpose is linear).
  Tensor masked_logits(const Tensor& images, const Tensor& mask) const;

  // masked_logits of images and mask, and in the same pass what forward() says of other images `clean` (M,H,W,3), of
  // which nothing is kept for a backward. On a GPU all are one batch of 2N + M: a third of the launches and of the
  // reads of weights less than in two. On the CPU, where images go through in groups anyway, one follows the other.
  // taps: by number, which are wanted of `clean`; the others stay undefined.
  struct MaskedAndClean {
    Tensor masked;  // (2N,classes), with the mask's history
    Output clean;   // without history
  };
  MaskedAndClean masked_and_clean(const Tensor& images, const Tensor& mask, const Tensor& clean,
                                  const std::vector<bool>& taps) const;

 private:
  std::shared_ptr<const struct FrozenPlan> plan_;  // also held by the histories of its results
};

}  // namespace pen
