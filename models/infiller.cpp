#include "models/infiller.h"

#include <cstdlib>

#include "base/check.h"
#include "base/log.h"
#include "layers/init.h"
#include "models/checkpoint.h"
#include "models/infill_ca.h"
#include "models/infill_cnn.h"
#include "models/infill_dfnet.h"
#include "models/infill_opencv.h"
#include "models/infill_pconv.h"
#include "models/infill_simple.h"

namespace pen {
namespace {

constexpr std::uint64_t weights_stream = 0x696e66696c6c;  // "infill"

Tensor complement(const Tensor& m) { return ops::affine(m, -1, 1); }

Tensor constants(const std::vector<double>& values, const Tensor& like) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())}).to(like.dtype()).to(like.device());
}

// How many partial convolutions the file's encoder has.
int pconv_levels(const Checkpoint& file) {
  int levels = 0;
  for (const auto& [part, state] : file.parts)
    for (const NamedTensor& t : state)
      for (int level = 1; level <= 16; ++level)
        if (t.name == str("enc_", level, ".conv.input_conv.weight")) levels = std::max(levels, level);
  PEN_CHECK_AS(checkpoint, levels >= 4 && levels <= 8, "'", file.path,
               "' holds no partial convolution network: ", levels,
               " of its 4 to 8 encoder levels (enc_1.conv.input_conv.weight, ...) were found");
  return levels;
}

std::unique_ptr<Infiller> build(const InfillerOptions& o, const Checkpoint* file) {
  Rng rng(o.seed, weights_stream);
  if (o.model == "dummy") return std::make_unique<ZeroInfiller>();
  if (o.model == "blur") return std::make_unique<BlurInfiller>(20.0);
  if (o.model == "mean_color") return std::make_unique<MeanColorInfiller>();
  if (o.model == "noise") return std::make_unique<NoiseInfiller>(o.seed);
  if (o.model == "telea") return std::make_unique<OpenCvInfiller>(OpenCvInfiller::Method::telea);
  if (o.model == "navier_stokes") return std::make_unique<OpenCvInfiller>(OpenCvInfiller::Method::navier_stokes);
  if (o.model == "cnn") return std::make_unique<CnnInfiller>(rng);
  if (o.model == "pconv") return std::make_unique<PConvInfiller>(file ? pconv_levels(*file) : 6, rng);
  if (o.model == "ca_infiller") return std::make_unique<CaInfiller>(o.strict, rng);
  PEN_CHECK(o.model == "dfn_infiller", "infiller '", o.model, "' is listed and not built");
  return std::make_unique<DfnetInfiller>(o.strict, rng);
}

}  // namespace

Tensor InfillerInput::known() const { return side == MaskSide::in ? mask : complement(mask); }
Tensor InfillerInput::hole() const { return side == MaskSide::in ? complement(mask) : mask; }
Tensor InfillerInput::masked_image() const {
  return side == MaskSide::in ? ops::mask_in(image, mask) : ops::mask_out(image, mask);
}

Tensor infilled(const InfillerInput& i, const Tensor& generated) {
  return i.side == MaskSide::in ? ops::mask_in(i.image, i.mask, generated) : ops::mask_out(i.image, i.mask, generated);
}

InfillerLoss infiller_loss(const InfillerInput& input, const Tensor& generated) {
  constexpr double hole_weight = 6;
  const Tensor difference = ops::abs(ops::sub(generated, input.image));
  InfillerLoss loss;
  loss.hole = ops::mean(ops::mask_in(difference, input.hole()));
  loss.valid = ops::mean(ops::mask_in(difference, input.known()));
  loss.total = ops::add(loss.valid, ops::affine(loss.hole, hole_weight, 0));
  return loss;
}

const std::vector<InfillerKind>& infiller_kinds() {
  static const std::vector<InfillerKind> kinds{
      {"dummy", "zeros, the mean colour of the training data", false, false, nullptr},
      {"blur", "the unmasked image, blurred with sigma 20", false, false, nullptr},
      {"mean_color", "the mean colour of the pixels that are left", false, false, nullptr},
      {"noise", "uniform noise", false, false, nullptr},
      {"telea", "OpenCV's fast marching inpainting", false, false, nullptr},
      {"navier_stokes", "OpenCV's Navier-Stokes inpainting", false, false, nullptr},
      {"cnn", "a small encoder and decoder", true, false, nullptr},
      {"pconv", "a U-Net of partial convolutions", true, true, nullptr},
      {"ca_infiller", "the generator with contextual attention", true, true, "CA_MODEL_PATH"},
      {"dfn_infiller", "the deep fusion network", true, true, "DFNET_MODEL_PATH"}};
  return kinds;
}

std::vector<std::string> infiller_names() {
  std::vector<std::string> out;
  for (const InfillerKind& kind : infiller_kinds()) out.emplace_back(kind.name);
  return out;
}

const InfillerKind& infiller_kind(const std::string& name) {
  std::string known;
  for (const InfillerKind& kind : infiller_kinds()) {
    if (name == kind.name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  fail(ErrorKind::usage, "there is no infiller '" + name + "'", "known: " + known);
}

std::string infiller_file(const std::string& model, const std::string& path) {
  const InfillerKind& kind = infiller_kind(model);
  if (!path.empty() || !kind.variable) return path;
  const char* from_environment = std::getenv(kind.variable);
  return from_environment ? from_environment : "";
}

std::unique_ptr<Infiller> make_infiller(const InfillerOptions& o) {
  const InfillerKind& kind = infiller_kind(o.model);
  const std::string path = infiller_file(o.model, o.path);
  PEN_CHECK_AS(usage, kind.network || o.path.empty(), "infiller ", o.model, " has no weights, so that '", o.path,
               "' has no effect");
  if (path.empty() && kind.needs_file && !o.to_train)
    fail(ErrorKind::usage, "infiller " + o.model + " needs its weights",
         kind.variable ? str("give --infiller_path FILE or set ", kind.variable) : "give --infiller_path FILE");
  std::unique_ptr<Infiller> out;
  if (path.empty()) {
    out = build(o, nullptr);
    PEN_CHECK_AS(usage, !o.to_train || out->can_learn(), "infiller ", o.model,
                 " cannot be trained here; cnn and pconv can");
    if (kind.network && !o.to_train)
      log::warn("infiller " + o.model + " has no weight file: it is untrained, as the reference's is");
  } else {
    const Checkpoint file = read_checkpoint(path);
    {
      const init::Skip read_next;
      out = build(o, &file);
    }
    PEN_CHECK_AS(usage, !o.to_train || out->can_learn(), "infiller ", o.model,
                 " cannot be trained here; cnn and pconv can");
    load_infiller(*out, file);
  }
  out->set_requires_grad(false);
  out->eval();
  return out;
}

void load_infiller(Infiller& infiller, const Checkpoint& from) {
  const std::string part = from.has("state_dict_infiller") ? "state_dict_infiller" : "state_dict_classifier";
  PEN_CHECK_AS(checkpoint, from.has(part), "'", from.path, "' holds no weights of an infiller");
  load_state(infiller, from.parts.at(part), from.path);
  infiller.check_loaded(from.path);
}

Tensor channel_affine(const Tensor& x, const std::vector<double>& scale, const std::vector<double>& shift) {
  const std::size_t c = scale.size();
  // A norm in evaluation with mean 0 and variance 1.
  return ops::batch_norm(x, constants(scale, x), constants(shift, x), constants(std::vector<double>(c, 0), x),
                         constants(std::vector<double>(c, 1), x), {.eps = 0});
}

Tensor to_unit_range(const Tensor& image) {
  const ImageColors colors;
  return channel_affine(image, {colors.std.begin(), colors.std.end()}, {colors.mean.begin(), colors.mean.end()});
}

Tensor from_unit_range(const Tensor& image) {
  const ImageColors colors;
  std::vector<double> scale, shift;
  for (std::size_t c = 0; c < 3; ++c) {
    scale.push_back(1 / colors.std[c]);
    shift.push_back(-colors.mean[c] / colors.std[c]);
  }
  return channel_affine(image, scale, shift);
}

}  // namespace pen
