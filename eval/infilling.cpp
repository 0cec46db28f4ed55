#include "eval/infilling.h"

#include <algorithm>

#include "base/check.h"
#include "base/option_rules.h"
#include "eval/inputs.h"
#include "models/infiller_options.h"
#include "tensor/autograd.h"

namespace pen {

void resolve_infilling(InfillOptions& options, OptionValues& values) {
  rules::check_effect(values, !options.infiller_model.empty(), {"do_infill_for_mask_in", "do_infill_for_mask_out"},
                      "infiller_model is none");
  resolve_infiller_file(options.infiller_model, options.infiller_path, false, values);
}

namespace eval {
namespace {

constexpr std::int64_t infilled_at_once = 8;  // the networks are larger than classifiers

}  // namespace

std::shared_ptr<Infiller> open_infiller(const InfillOptions& options, bool strict, std::uint64_t seed, Device device) {
  if (options.infiller_model.empty()) return nullptr;
  std::shared_ptr<Infiller> out = make_infiller({options.infiller_model, options.infiller_path, strict, seed, false});
  out->to(device);
  return out;
}

std::vector<float> infilled_images(Infiller& infiller, std::span<const float> images, std::span<const float> masks,
                                   bool in, std::int64_t n, std::int64_t size) {
  const std::int64_t pixels = size * size;
  PEN_CHECK(static_cast<std::int64_t>(images.size()) == n * pixels * 3 &&
                static_cast<std::int64_t>(masks.size()) == n * pixels,
            "infilling: ", images.size(), " image and ", masks.size(), " mask values for ", n, " images of side ",
            size);
  const NoGrad no_grad;
  const Device device = infiller.device();
  std::vector<float> out;
  out.reserve(images.size());
  for (std::int64_t first = 0; first < n; first += infilled_at_once) {
    const std::int64_t count = std::min(infilled_at_once, n - first);
    const auto piece = [&](std::span<const float> from, std::int64_t each) {
      return from.subspan(static_cast<std::size_t>(first * each), static_cast<std::size_t>(count * each));
    };
    const InfillerInput input{upload_images(piece(images, pixels * 3), count, size, device),
                              upload_masks(piece(masks, pixels), count, size, device),
                              in ? MaskSide::in : MaskSide::out};
    const std::vector<float> filled = infilled(input, infiller.generate(input)).to_vector<float>();
    out.insert(out.end(), filled.begin(), filled.end());
  }
  return out;
}

void InfilledAccuracy::add(const Batch& batch, std::span<const float> masks) {
  const auto right = [&](bool side_in) {
    const std::vector<float> logits =
        classifier_(infilled_images(*infiller_, batch.images, masks, side_in, batch.n, batch.size), batch.n);
    const std::size_t classes = logits.size() / static_cast<std::size_t>(batch.n);
    std::int64_t count = 0;
    for (std::size_t i = 0; i < batch.labels.size(); ++i) {
      const auto row = std::span(logits).subspan(i * classes, classes);
      count += std::max_element(row.begin(), row.end()) - row.begin() == batch.labels[i];
    }
    return count;
  };
  if (in()) right_in_ += right(true);
  if (out()) right_out_ += right(false);
  images_ += batch.n;
}

double InfilledAccuracy::percent(std::int64_t right) const {
  PEN_CHECK(images_ > 0, "infilling: no images");
  return 100.0 * static_cast<double>(right) / static_cast<double>(images_);
}

}  // namespace eval
}  // namespace pen
