#include "models/infill_dfnet.h"

namespace pen {
namespace {

constexpr std::int64_t side = 256;
constexpr std::int64_t widths[] = {4, 64, 128, 256, 512, 512, 512, 512, 512};  // input, then each level
constexpr int kernels_of[] = {7, 5, 5, 3, 3, 3, 3, 3};
constexpr std::size_t levels = 8, fused_levels = 6;
constexpr double slope = 0.2;  // of the leaky ReLUs

// A convolution whose output is input / stride in size: (k - s) rows and columns of zeros are added, the smaller half
// before. Named conv, or conv.1 where the padding has to be uneven (a layer of its own in the files).
class SameConv : public Module {
 public:
  SameConv(std::int64_t in, std::int64_t out, int kernel, int stride, Rng& rng)
      : before_((kernel - stride) / 2), after_(kernel - stride - before_) {
    const bool even = before_ == after_;
    const ops::ConvOptions o{.stride = stride, .pad = even ? before_ : 0};
    conv_ = &make_child<Conv2d>(even ? "conv" : "conv.1", in, out, kernel, o, true, rng);
  }
  Tensor forward(const Tensor& x) {
    return conv_->forward(before_ == after_ ? x : ops::pad2d(x, before_, after_, before_, after_));
  }

 private:
  int before_, after_;
  Conv2d* conv_;
};

}  // namespace

class DfnetInfiller::Encoder : public Module {
 public:
  Encoder(std::int64_t in, std::int64_t out, int kernel, bool norm, Rng& rng)
      : conv_(make_child<SameConv>("encode.0", in, out, kernel, 2, rng)),
        norm_(norm ? &make_child<BatchNorm2d>("encode.1", out) : nullptr) {}
  Tensor forward(const Tensor& x) {
    const Tensor y = conv_.forward(x);
    return norm_ ? norm_->forward(y, true) : y;
  }

 private:
  SameConv& conv_;
  BatchNorm2d* norm_;
};

class DfnetInfiller::Decoder : public Module {
 public:
  Decoder(std::int64_t from_below, std::int64_t from_encoder, Rng& rng)
      : conv_(make_child<SameConv>("decode.0", from_below + from_encoder, from_encoder, 3, 1, rng)),
        norm_(make_child<BatchNorm2d>("decode.1", from_encoder)) {}
  Tensor forward(const Tensor& below, const Tensor& encoded) {
    const Tensor up = ops::resize_nearest(below, encoded.size(1), encoded.size(2));
    return ops::leaky_relu(norm_.forward(conv_.forward(ops::concat_channels({up, encoded}))), slope);
  }

 private:
  SameConv& conv_;
  BatchNorm2d& norm_;
};

// A picture is drawn from the decoder's map and blended with the image, by a weight for each channel of each pixel.
class DfnetInfiller::Fusion : public Module {
 public:
  Fusion(std::int64_t in, Rng& rng)
      : draw_(make_child<SameConv>("map2img.0", in, 3, 1, 1, rng)),
        conv0_(make_child<SameConv>("blend.blend.0", 6, 32, 1, 1, rng)),
        norm0_(make_child<BatchNorm2d>("blend.blend.1", 32)),
        conv1_(make_child<SameConv>("blend.blend.3", 32, 3, 3, 1, rng)),
        norm1_(make_child<BatchNorm2d>("blend.blend.4", 3)),
        conv2_(make_child<SameConv>("blend.blend.6", 3, 3, 1, 1, rng)) {}
  Tensor forward(const Tensor& image, const Tensor& map) {
    const Tensor drawn = ops::sigmoid(draw_.forward(map));
    Tensor h = ops::leaky_relu(norm0_.forward(conv0_.forward(ops::concat_channels({image, drawn}))), slope);
    h = ops::leaky_relu(norm1_.forward(conv1_.forward(h)), slope);
    const Tensor alpha = ops::sigmoid(conv2_.forward(h));
    return ops::add(image, ops::mul(alpha, ops::sub(drawn, image)));
  }

 private:
  SameConv &draw_, &conv0_;
  BatchNorm2d& norm0_;
  SameConv& conv1_;
  BatchNorm2d& norm1_;
  SameConv& conv2_;
};

DfnetInfiller::DfnetInfiller(bool strict, Rng& rng) : strict_(strict) {
  for (std::size_t i = 0; i < levels; ++i)
    encoders_.push_back(&make_child<Encoder>(str("en_", i), widths[i], widths[i + 1], kernels_of[i], i > 0, rng));
  for (std::size_t i = 0; i < levels; ++i)
    decoders_.push_back(&make_child<Decoder>(str("de_", i), widths[i + 1], widths[i], rng));
  // The coarser ones were part of the loss when it was trained; only the finest one's result is used.
  for (std::size_t i = 0; i < fused_levels; ++i)
    fusions_.push_back(&make_child<Fusion>(str("fuse_", i), widths[i], rng));
}

Tensor DfnetInfiller::network(const Tensor& image_missing, const Tensor& known) {
  std::vector<Tensor> encoded{ops::concat_channels({image_missing, known})};
  for (Encoder* level : encoders_) encoded.push_back(level->forward(encoded.back()));
  Tensor h = encoded.back();
  for (std::size_t i = levels; i > 0; --i) h = decoders_[i - 1]->forward(h, encoded[i - 1]);
  return fusions_[0]->forward(image_missing, h);
}

Tensor DfnetInfiller::run(const InfillerInput& input, Rng*) {
  const std::int64_t height = input.image.size(1), width = input.image.size(2);
  InfillerInput small;
  small.side = input.side;
  small.mask = ops::resize_bilinear(input.mask, side, side, true);
  // The reference resizes the masked image, and masks the result again.
  small.image = to_unit_range(ops::resize_bilinear(input.masked_image(), side, side, true));
  const Tensor missing = small.masked_image();
  const Tensor result = network(missing, small.known());
  const Tensor where = strict_ ? small.hole() : small.mask;
  const Tensor composed = ops::add(missing, ops::mask_in(result, where));
  return from_unit_range(ops::resize_bilinear(composed, height, width, true));
}

}  // namespace pen
