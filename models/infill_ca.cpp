#include "models/infill_ca.h"

#include "models/contextual_attention.h"

namespace pen {
namespace {

constexpr std::int64_t base = 32;  // channels of the first layer

enum class Activation { elu, relu, none };

// [-1,1]: as two ReLUs, whose gradient is that of the clamp.
Tensor clamp_unit(const Tensor& x) {
  const Tensor above_low = ops::relu(ops::affine(x, 1, 1)), above_high = ops::relu(ops::affine(x, 1, -1));
  return ops::affine(ops::sub(above_low, above_high), 1, -1);
}

// Image, ones (which tell the border from what lies outside), mask.
Tensor with_planes(const Tensor& image, const Tensor& mask) {
  return ops::concat_channels({image, Tensor::full(mask.shape(), 1, mask.dtype(), mask.device()), mask});
}

Tensor doubled(const Tensor& x) { return ops::resize_nearest(x, 2 * x.size(1), 2 * x.size(2)); }

}  // namespace

// A convolution that keeps the size (but for its stride), and its activation; named <name>.conv.
class CaInfiller::Block : public Module {
 public:
  struct Options {
    int kernel = 3, stride = 1, dilation = 1;
    Activation activation = Activation::elu;
  };
  Block(std::int64_t in, std::int64_t out, const Options& o, Rng& rng)
      : conv_(make_child<Conv2d>(
            "conv", in, out, o.kernel,
            ops::ConvOptions{.stride = o.stride, .pad = o.kernel / 2 * o.dilation, .dilation = o.dilation}, true, rng)),
        activation_(o.activation) {}
  Tensor forward(const Tensor& x) {
    const Tensor y = conv_.forward(x);
    return activation_ == Activation::elu ? ops::elu(y) : activation_ == Activation::relu ? ops::relu(y) : y;
  }

 private:
  Conv2d& conv_;
  Activation activation_;
};

// Blocks in a row, and the decoder that both stages end with.
class CaInfiller::Coarse : public Module {
 public:
  explicit Coarse(Rng& rng) {
    const auto add = [&](const char* name, std::int64_t in, std::int64_t out, const Block::Options& o = {}) {
      blocks_.push_back(&make_child<Block>(name, in, out, o, rng));
    };
    add("conv1", 5, base, {.kernel = 5});
    add("conv2_downsample", base, 2 * base, {.stride = 2});
    add("conv3", 2 * base, 2 * base);
    add("conv4_downsample", 2 * base, 4 * base, {.stride = 2});
    add("conv5", 4 * base, 4 * base);
    add("conv6", 4 * base, 4 * base);
    add("conv7_atrous", 4 * base, 4 * base, {.dilation = 2});
    add("conv8_atrous", 4 * base, 4 * base, {.dilation = 4});
    add("conv9_atrous", 4 * base, 4 * base, {.dilation = 8});
    add("conv10_atrous", 4 * base, 4 * base, {.dilation = 16});
    add("conv11", 4 * base, 4 * base);
    add("conv12", 4 * base, 4 * base);
    add("conv13", 4 * base, 2 * base);
    add("conv14", 2 * base, 2 * base);
    add("conv15", 2 * base, base);
    add("conv16", base, base / 2);
    add("conv17", base / 2, 3, {.activation = Activation::none});
  }
  Tensor forward(const Tensor& image, const Tensor& mask) {
    Tensor x = with_planes(image, mask);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      if (i == 12 || i == 14) x = doubled(x);  // before conv13 and conv15
      x = blocks_[i]->forward(x);
    }
    return clamp_unit(x);
  }

 private:
  std::vector<Block*> blocks_;
};

class CaInfiller::Fine : public Module {
 public:
  explicit Fine(Rng& rng) {
    using List = std::vector<Block*>;
    const auto add = [&](List& list, const char* name, std::int64_t in, std::int64_t out,
                         const Block::Options& o = {}) { list.push_back(&make_child<Block>(name, in, out, o, rng)); };
    add(dilated_, "conv1", 5, base, {.kernel = 5});
    add(dilated_, "conv2_downsample", base, base, {.stride = 2});
    add(dilated_, "conv3", base, 2 * base);
    add(dilated_, "conv4_downsample", 2 * base, 2 * base, {.stride = 2});
    add(dilated_, "conv5", 2 * base, 4 * base);
    add(dilated_, "conv6", 4 * base, 4 * base);
    add(dilated_, "conv7_atrous", 4 * base, 4 * base, {.dilation = 2});
    add(dilated_, "conv8_atrous", 4 * base, 4 * base, {.dilation = 4});
    add(dilated_, "conv9_atrous", 4 * base, 4 * base, {.dilation = 8});
    add(dilated_, "conv10_atrous", 4 * base, 4 * base, {.dilation = 16});
    add(before_, "pmconv1", 5, base, {.kernel = 5});
    add(before_, "pmconv2_downsample", base, base, {.stride = 2});
    add(before_, "pmconv3", base, 2 * base);
    add(before_, "pmconv4_downsample", 2 * base, 4 * base, {.stride = 2});
    add(before_, "pmconv5", 4 * base, 4 * base);
    add(before_, "pmconv6", 4 * base, 4 * base, {.activation = Activation::relu});
    add(after_, "pmconv9", 4 * base, 4 * base);
    add(after_, "pmconv10", 4 * base, 4 * base);
    add(joined_, "allconv11", 8 * base, 4 * base);
    add(joined_, "allconv12", 4 * base, 4 * base);
    add(joined_, "allconv13", 4 * base, 2 * base);
    add(joined_, "allconv14", 2 * base, 2 * base);
    add(joined_, "allconv15", 2 * base, base);
    add(joined_, "allconv16", base, base / 2);
    add(joined_, "allconv17", base / 2, 3, {.activation = Activation::none});
  }
  // coarse stands in the hole.
  Tensor forward(const Tensor& image, const Tensor& coarse, const Tensor& mask, bool shared_mask) {
    const Tensor x = with_planes(ops::mask_in(coarse, mask, image), mask);
    Tensor dilated = x, attended = x;
    for (Block* block : dilated_) dilated = block->forward(dilated);
    for (Block* block : before_) attended = block->forward(attended);
    const Tensor small = ops::resize_nearest(mask, mask.size(1) / 8, mask.size(2) / 8);
    attended = contextual_attention(attended, small, shared_mask);
    for (Block* block : after_) attended = block->forward(attended);
    Tensor y = ops::concat_channels({dilated, attended});
    for (std::size_t i = 0; i < joined_.size(); ++i) {
      if (i == 2 || i == 4) y = doubled(y);  // before allconv13 and allconv15
      y = joined_[i]->forward(y);
    }
    return clamp_unit(y);
  }

 private:
  std::vector<Block*> dilated_, before_, after_, joined_;
};

CaInfiller::CaInfiller(bool strict, Rng& rng)
    : strict_(strict),
      coarse_(&make_child<Coarse>("coarse_generator", rng)),
      fine_(&make_child<Fine>("fine_generator", rng)) {}

CaInfiller::Stages CaInfiller::network(const Tensor& image, const Tensor& mask) {
  const Tensor coarse = coarse_->forward(image, mask);
  return {coarse, fine_->forward(image, coarse, mask, !strict_)};
}

Tensor CaInfiller::run(const InfillerInput& input, Rng*) {
  const std::int64_t height = input.image.size(1), width = input.image.size(2);
  const std::int64_t rows = (height + 7) / 8 * 8, columns = (width + 7) / 8 * 8;
  const bool fits = rows == height && columns == width;
  InfillerInput scaled;
  scaled.side = input.side;
  // Twice masked, as in the reference: before the colours are moved to [-1,1], and after.
  const Tensor colors = ops::affine(to_unit_range(input.masked_image()), 2, -1);
  scaled.image = fits ? colors : ops::resize_bilinear(colors, rows, columns, true);
  scaled.mask = fits ? input.mask : ops::resize_bilinear(input.mask, rows, columns, true);
  Tensor fine = network(scaled.masked_image(), strict_ ? scaled.hole() : scaled.mask).fine;
  if (!fits) fine = ops::resize_bilinear(fine, height, width, true);
  return from_unit_range(ops::affine(fine, 0.5, 0.5));
}

}  // namespace pen
