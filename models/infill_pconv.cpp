#include "models/infill_pconv.h"

#include <algorithm>
#include <cmath>

namespace pen {
namespace {

// 1 where x > 0, and 1 / x there; 0 elsewhere.
struct Inverse {
  Tensor positive, value;
};
Inverse inverse(const Tensor& x) {
  const Tensor positive = ops::step(x, 0);
  const Tensor safe = ops::add(x, ops::affine(positive, -1, 1));
  return {positive, ops::mul(ops::reciprocal(safe), positive)};
}

std::int64_t width_of(int level) { return std::min<std::int64_t>(512, 32 << level); }  // 64, 128, 256, 512, 512, ...

}  // namespace

PartialConv::Convolutions::Convolutions(std::int64_t in, std::int64_t out, const Options& o, Rng& rng) {
  // Drawn as any convolution; input_conv and mask_conv are named as published files name them.
  struct Weights : Module {
    Weights(std::int64_t c, std::int64_t k, int size, bool with_bias, Rng* draws) {
      const Shape shape{k, c, size, size};
      if (!draws) {
        weight = &add_buffer("weight", Tensor::full(shape, 1));
        return;
      }
      const double fan_in = static_cast<double>(c) * size * size;
      weight = &add_parameter("weight", Tensor::empty(shape));
      init::normal(*weight, std::sqrt(2 / fan_in), *draws);  // He et al. 2015, by fan-in
      if (with_bias) bias = &add_parameter("bias", Tensor::zeros({k}));
    }
    Tensor *weight = nullptr, *bias = nullptr;
  };
  Weights& input = make_child<Weights>("input_conv", in, out, o.kernel, o.bias, &rng);
  weight = input.weight;
  bias = input.bias;
  ones = make_child<Weights>("mask_conv", in, out, o.kernel, false, nullptr).weight;
}

PartialConv::PartialConv(std::int64_t in, std::int64_t out, const Options& o, Rng& rng)
    : options_(o),
      conv_(make_child<Convolutions>("conv", in, out, o, rng)),
      norm_(o.norm ? &make_child<BatchNorm2d>("bn", out) : nullptr) {}

PartialMap PartialConv::forward(const std::vector<PartialMap>& sources) {
  const ops::ConvOptions window{.stride = options_.stride, .pad = options_.kernel / 2};
  std::vector<Tensor> values;
  Tensor count;
  for (const PartialMap& source : sources) {
    values.push_back(ops::mask_in(source.values, source.valid));
    // The same for all channels, so that one is counted and multiplied.
    const Tensor ones =
        Tensor::full({1, 1, options_.kernel, options_.kernel}, 1, source.valid.dtype(), source.valid.device());
    const Tensor here =
        ops::affine(ops::conv2d(source.valid, ones, {}, window), static_cast<double>(source.values.size(3)), 0);
    count = count.defined() ? ops::add(count, here) : here;
  }
  const Tensor x = values.size() == 1 ? values[0] : ops::concat_channels(values);
  const Inverse share = inverse(count);
  Tensor y = ops::mask_in(ops::conv2d(x, *conv_.weight, {}, window), share.value);
  if (conv_.bias)  // where there is any input
    y = ops::add(y, ops::conv2d(share.positive, ops::reshape(*conv_.bias, {conv_.bias->numel(), 1, 1, 1}), {}));
  const bool relu = options_.activation && options_.slope == 0;
  if (norm_) y = norm_->forward(y, relu);
  if (options_.activation && !(norm_ && relu)) y = relu ? ops::relu(y) : ops::leaky_relu(y, options_.slope);
  return {hooked(y), share.positive};
}

PConvInfiller::PConvInfiller(int levels, Rng& rng) {
  std::int64_t in = 3;
  for (int level = 1; level <= levels; ++level) {
    const std::int64_t out = width_of(level);
    const int kernel = level == 1 ? 7 : level <= 3 ? 5 : 3;
    encoder_.push_back(&make_child<PartialConv>(
        str("enc_", level), in, out, PartialConv::Options{.kernel = kernel, .stride = 2, .norm = level > 1}, rng));
    in = out;
  }
  decoder_.resize(static_cast<std::size_t>(levels));
  const auto decoder = [&](int level) {
    const bool last = level == 1;
    const std::int64_t out = last ? 3 : width_of(level - 1), below = width_of(level);
    decoder_[static_cast<std::size_t>(level - 1)] = &make_child<PartialConv>(
        str("dec_", level), below + out, out,
        PartialConv::Options{.norm = !last, .bias = last, .slope = 0.2, .activation = !last}, rng);
  };
  for (int level = 5; level <= levels; ++level) decoder(level);  // the files' order
  for (int level = 4; level >= 1; --level) decoder(level);
}

PartialMap PConvInfiller::network(const PartialMap& image) {
  std::vector<PartialMap> maps{image};
  for (PartialConv* level : encoder_) maps.push_back(level->forward({maps.back()}));
  PartialMap h = maps.back();
  for (std::size_t level = decoder_.size(); level > 0; --level) {
    const PartialMap& skip = maps[level - 1];
    const std::int64_t height = skip.values.size(1), width = skip.values.size(2);
    h.values = ops::resize_nearest(h.values, height, width);
    h.valid = ops::resize_nearest(h.valid, height, width);
    h = decoder_[level - 1]->forward({h, skip});
  }
  return h;
}

Tensor PConvInfiller::run(const InfillerInput& input, Rng*) {
  const std::int64_t height = input.image.size(1), width = input.image.size(2);
  const std::int64_t step = std::int64_t{1} << encoder_.size();
  const std::int64_t down = (step - height % step) % step, right = (step - width % step) % step;
  // Padding is not valid, and so does not count.
  const PartialMap image{ops::pad2d(input.image, 0, down, 0, right),
                         ops::pad2d(ops::affine(ops::step(input.hole(), 0.5), -1, 1), 0, down, 0, right)};
  return ops::pad2d(network(image).values, 0, -down, 0, -right);
}

void PConvInfiller::check_loaded(const std::string& source) {
  for (const NamedTensor& t : buffers()) {
    if (!t.name.ends_with("mask_conv.weight")) continue;
    for (const double v : t.tensor.to(DType::f64).to_vector<double>())
      PEN_CHECK_AS(checkpoint, v == 1, "'", source, "': ", t.name, " holds ", v,
                   "; it counts valid pixels and has to be ones");
  }
}

}  // namespace pen
