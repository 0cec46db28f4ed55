#include "eval/networks.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.h"
#include "eval/inputs.h"
#include "models/frozen_classifier.h"
#include "tensor/autograd.h"
#include "tensor/ops.h"

namespace pen::eval {
namespace {

OpenedClassifier opened(const Checkpoint& from, Device device, const std::string& arch, bool fuse) {
  OpenedClassifier out;
  out.network = load_classifier(from, arch);
  out.network->to(device);
  out.network->set_requires_grad(false);
  const DType inside = compute_policy().frozen;
  PEN_CHECK_AS(usage, fuse || inside == DType::f32, "--precision ", precision_of(inside),
               " is for the frozen copy of the classifier: it does not go with --fuse false");
  if (fuse) {
    out.network->eval();
    out.runner = freeze(*out.network, {.winograd = true, .winograd_large = true});
  }
  if (!out.runner) out.runner = out.network;
  out.class_names = class_names(from);
  out.input_size = input_size(from);
  out.file = from.path;
  PEN_CHECK_AS(checkpoint,
               out.class_names.empty() || static_cast<std::int64_t>(out.class_names.size()) == out.network->classes(),
               "'", from.path, "': ", out.class_names.size(), " class names for a classifier of ",
               out.network->classes(), " classes");
  return out;
}

void append(std::vector<float>& to, const Tensor& tensor) {
  const std::vector<float> values = tensor.to_vector<float>();
  to.insert(to.end(), values.begin(), values.end());
}

// Images that fitted into memory together so far.
std::int64_t fitting = images_at_once;

// Reads the results of a piece.
using Read = std::function<void()>;

// Calls body(piece, first, count) on pieces of the batch, and what it gave when the next piece is queued: a GPU then
// has work while results are copied and the piece after is staged.
void in_pieces(std::span<const float> images, std::int64_t n, std::int64_t size, Device device,
               const std::function<Read(const Tensor&, std::int64_t, std::int64_t)>& body) {
  const std::int64_t values = size * size * 3;
  PEN_CHECK(n >= 1 && static_cast<std::int64_t>(images.size()) == n * values, "evaluation: ", images.size(),
            " values for ", n, " images of side ", size);
  const NoGrad no_grad;
  Read read;
  in_fitting_pieces(n, fitting, device, [&](std::int64_t first, std::int64_t count) {
    const auto piece =
        images.subspan(static_cast<std::size_t>(first * values), static_cast<std::size_t>(count * values));
    Read next = body(upload_images(piece, count, size, device), first, count);
    if (read) read();
    read = std::move(next);
  });
  read();
}

}  // namespace

OpenedClassifier open_classifier(const std::string& path, Device device, const std::string& arch, bool fuse) {
  return opened(read_checkpoint(path), device, arch, fuse);
}

std::vector<float> logits_of(pen::Classifier& classifier, std::span<const float> images, std::int64_t n,
                             std::int64_t size) {
  std::vector<float> out;
  in_pieces(images, n, size, classifier.device(), [&](const Tensor& piece, std::int64_t, std::int64_t) -> Read {
    return [&out, logits = classifier.logits(piece)] { append(out, logits); };
  });
  return out;
}

std::vector<float> masked_logits(pen::Classifier& classifier, std::span<const float> images,
                                 std::span<const float> masks, bool in, std::int64_t n, std::int64_t size) {
  const std::int64_t pixels = size * size;
  PEN_CHECK(static_cast<std::int64_t>(masks.size()) == n * pixels, "evaluation: ", masks.size(), " mask values for ", n,
            " images of side ", size);
  const Device device = classifier.device();
  std::vector<float> out;
  in_pieces(images, n, size, device, [&](const Tensor& piece, std::int64_t first, std::int64_t count) -> Read {
    const auto values =
        masks.subspan(static_cast<std::size_t>(first * pixels), static_cast<std::size_t>(count * pixels));
    const Tensor mask = upload_masks(values, count, size, device);
    return [&out, logits = classifier.logits(in ? ops::mask_in(piece, mask) : ops::mask_out(piece, mask))] {
      append(out, logits);
    };
  });
  return out;
}

Classifier as_function(const OpenedClassifier& classifier, std::int64_t size) {
  return [network = classifier.runner, size](std::span<const float> images, std::int64_t n) {
    return logits_of(*network, images, n, size);
  };
}

MaskMaker::MaskMaker(const std::string& casm_path, const ClassifierSource& source, const std::string& resnet_path,
                     std::optional<double> use_p, Device device, const std::string& arch, bool fuse) {
  {
    const Checkpoint own = read_checkpoint(casm_path);
    masker_ = load_masker(own);
    input_size_ = pen::input_size(own);
    if (source.kind == ClassifierSource::Kind::checkpoint) classifier_ = opened(own, device, arch, fuse);
  }
  if (source.kind != ClassifierSource::Kind::checkpoint)
    classifier_ =
        open_classifier(source.kind == ClassifierSource::Kind::file ? source.file : resnet_path, device, arch, fuse);
  masker_->to(device);
  masker_->set_requires_grad(false);

  const MaskerOptions& masker = masker_->options();
  const std::vector<std::int64_t> widths = classifier_.network->tap_widths();
  for (const int layer : masker.use_layers) {
    const auto i = static_cast<std::size_t>(layer);
    PEN_CHECK_AS(checkpoint, i < widths.size(), "the masker of '", casm_path, "' reads tap ", layer,
                 ", the classifier of '", classifier_.file, "' has ", widths.size());
    PEN_CHECK_AS(checkpoint, masker.tap_widths[i] == widths[i], "the masker of '", casm_path, "' reads ",
                 masker.tap_widths[i], " channels of tap ", layer, ", the classifier of '", classifier_.file, "' has ",
                 widths[i]);
  }
  PEN_CHECK_AS(usage, masker.add_prob_layers == use_p.has_value(), "the masker of '", casm_path,
               masker.add_prob_layers ? "' is told its target area: --use_p is missing"
                                      : "' knows no target areas, so that --use_p has no effect");
  p_ = use_p.value_or(0);
}

Maps MaskMaker::operator()(std::span<const float> images, std::int64_t n, std::int64_t size,
                           std::span<const std::int64_t> classes, bool no_sigmoid) const {
  PEN_CHECK(classes.empty() || static_cast<std::int64_t>(classes.size()) == n, "evaluation: ", classes.size(),
            " class ids for ", n, " images");
  const Device device = classifier_.network->device();
  Maps out;
  in_pieces(images, n, size, device, [&](const Tensor& piece, std::int64_t first, std::int64_t count) -> Read {
    ClassifierOutput seen = classifier_.runner->forward(piece);
    MaskerInput input;
    input.taps = std::move(seen.taps);
    input.height = input.width = size;
    input.no_sigmoid = no_sigmoid;
    if (masker_->options().add_prob_layers) input.p = Tensor::full({count}, p_, DType::f32, device);
    if (masker_->options().add_class_ids) {
      const auto given =
          classes.empty() ? classes : classes.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
      const std::vector<std::int64_t> ids =
          classes.empty() ? ops::argmax(seen.logits) : std::vector<std::int64_t>(given.begin(), given.end());
      for (const std::int64_t id : ids) {
        PEN_CHECK_AS(data, id >= 0 && id < masker_classes(), "class ", id, ", but the masker knows ", masker_classes(),
                     " classes");
      }
      input.class_ids = Tensor::from(ids, {count}, device);
    }
    return [&out, maps = masker_->forward(input), logits = seen.logits] {
      append(out.maps, maps);
      append(out.logits, logits);
    };
  });
  return out;
}

}  // namespace pen::eval
