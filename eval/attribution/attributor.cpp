#include "eval/attribution/attributor.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "base/check.h"
#include "base/log.h"
#include "eval/attribution/probe.h"
#include "eval/inputs.h"
#include "eval/opencv_threads.h"
#include "tensor/autograd.h"
#include "tensor/memory.h"
#include "tensor/ops.h"

namespace pen::eval {
namespace {

// Smooths a map (size, size) with a Gaussian of the given sigma in pixels, cut at 4 sigma; the border's values go on
// outside. In place.
void smooth_map(std::span<float> map, std::int64_t size, double sigma) {
  const int reach = static_cast<int>(std::ceil(4 * sigma));
  cv::Mat kernel(1, 2 * reach + 1, CV_64F);
  double sum = 0;
  for (int i = -reach; i <= reach; ++i) sum += kernel.at<double>(0, i + reach) = std::exp(-i * i / (2 * sigma * sigma));
  kernel /= sum;
  const auto side = static_cast<int>(size);
  const cv::Mat from(side, side, CV_32F, map.data());
  cv::Mat wide, to;
  from.convertTo(wide, CV_64F);
  cv::sepFilter2D(wide, to, CV_64F, kernel, kernel, {-1, -1}, 0, cv::BORDER_REPLICATE);
  cv::Mat back(side, side, CV_32F, map.data());
  to.convertTo(back, CV_32F);
}

}  // namespace

Tensor finished_maps(const Tensor& maps, std::int64_t size, double smooth) {
  PEN_CHECK(maps.shape().size() == 3, "attribution: maps of shape ", to_string(maps.shape()), ", expected (N,h,w)");
  PEN_CHECK_AS(usage, std::isfinite(smooth) && smooth >= 0 && smooth <= 1, "smoothing by ", smooth,
               " of the map's side: must be 0 to 1");
  const std::int64_t n = maps.size(0);
  Tensor out = maps.detach().to(DType::f32).to(Device{});
  if (out.size(1) != size || out.size(2) != size)
    out = ops::resize_bilinear(out.view({n, maps.size(1), maps.size(2), 1}), size, size, true);
  out = out.view({n, size, size}).clone();
  if (smooth > 0) {
    keep_opencv_single_threaded();
    const auto pixels = static_cast<std::size_t>(size * size);
    float* values = out.mutable_data<float>();
    for (std::int64_t i = 0; i < n; ++i)
      smooth_map({values + static_cast<std::size_t>(i) * pixels, pixels}, size, smooth * static_cast<double>(size));
  }
  return out;
}

Attributor::Attributor(const Method& method, AttributionOptions options, TargetRule target,
                       std::shared_ptr<pen::Classifier> network, std::int64_t size,
                       std::shared_ptr<pen::Classifier> fast)
    : method_(&method),
      options_(std::move(options)),
      target_(target),
      network_(std::move(network)),
      fast_(std::move(fast)),
      size_(size) {
  PEN_CHECK(network_ && !network_->is_training(), "attribution: it needs a classifier in evaluation mode");
  PEN_CHECK_AS(usage, options_.internal_batch >= 1 && options_.internal_batch <= 65536, "internal batch of ",
               options_.internal_batch, " images");
  PEN_CHECK_AS(usage, target_.kind != TargetRule::Kind::fixed || target_.id < network_->classes(), "class ", target_.id,
               " cannot be explained: the classifier has classes 0 to ", network_->classes() - 1);
  if (method.check) method.check(options_, size_);
  if (options_.smooth < 0) options_.smooth = method.smooth;
  if (method.at_layer) options_.layer = checked_layer(*network_, size_, options_.layer);
}

// A method of many passes fills the internal batch with copies of one image; where they do not fit into memory, with
// half as many from there on.
Attribution Attributor::explain(const Tensor& images, std::span<const std::int64_t> labels) {
  for (;;) {
    try {
      return method_->run({*network_, images, labels, target_, options_, fast_.get()});
    } catch (const OutOfMemory& error) {
      if (!method_->many || options_.internal_batch == 1) throw;
      options_.internal_batch /= 2;
      log::warn(str(error.what(), "; going on with an internal batch of ", options_.internal_batch));
      release_cached_memory(network_->device());
    }
  }
}

void Attributor::add_piece(const Batch& batch, std::int64_t from, std::int64_t count, Maps& out) {
  const auto values = static_cast<std::size_t>(size_ * size_ * 3), pixels = static_cast<std::size_t>(size_ * size_);
  const auto first = static_cast<std::size_t>(from), n = static_cast<std::size_t>(count);
  const std::span<const float> images = batch.images.subspan(first * values, n * values);
  const Tensor x = upload_images(images, count, size_, network_->device()).to(network_->dtype());
  Attribution found = explain(x, batch.labels.empty() ? batch.labels : batch.labels.subspan(first, n));
  if (!found.logits.defined()) {
    const NoGrad no_grad;
    found.logits = (fast_ ? *fast_ : *network_).logits(x);
  }
  const std::vector<float> logits = found.logits.to(DType::f32).to_vector<float>();
  std::vector<float> maps = finished_maps(found.maps, size_, options_.smooth).to_vector<float>();
  for (std::size_t i = 0; i < n; ++i) {
    const std::span<float> map = std::span(maps).subspan(i * pixels, pixels);
    const bool finite = std::all_of(map.begin(), map.end(), [](float v) { return std::isfinite(v); });
    const bool zero = finite && std::all_of(map.begin(), map.end(), [](float v) { return v == 0; });
    if (finite && !zero) continue;
    std::fill(map.begin(), map.end(), 0.0f);
    if (dead_.zero + dead_.not_finite == 0 && first + i < batch.paths.size()) dead_.first = batch.paths[first + i];
    ++(finite ? dead_.zero : dead_.not_finite);
  }
  out.logits.insert(out.logits.end(), logits.begin(), logits.end());
  out.maps.insert(out.maps.end(), maps.begin(), maps.end());
  if (progress_) progress_(count);
}

Maps Attributor::operator()(const Batch& batch) {
  const auto values = static_cast<std::size_t>(size_ * size_ * 3), count = static_cast<std::size_t>(batch.n);
  PEN_CHECK(batch.n >= 1 && batch.size == size_ && batch.images.size() == count * values,
            "attribution: ", batch.images.size(), " values for ", batch.n, " images of side ", size_);
  PEN_CHECK(target_.kind != TargetRule::Kind::label || batch.labels.size() == count,
            "attribution: ", batch.labels.size(), " labels for ", batch.n, " images");
  Maps out;
  out.maps.reserve(count * static_cast<std::size_t>(size_ * size_));
  std::int64_t one = 1;
  in_fitting_pieces(batch.n, method_->many ? one : options_.internal_batch, network_->device(),
                    [&](std::int64_t first, std::int64_t n) { add_piece(batch, first, n, out); });
  dead_.images += batch.n;
  return out;
}

std::string Attributor::warning() const {
  if (dead_.zero + dead_.not_finite == 0) return {};
  std::string text = str(method_->name, ": of ", dead_.images, " maps ");
  if (dead_.zero > 0) text += str(dead_.zero, " were zero everywhere");
  if (dead_.not_finite > 0) text += str(dead_.zero > 0 ? " and " : "", dead_.not_finite, " not finite: zeros instead");
  return text + (dead_.first.empty() ? "" : ", first that of '" + dead_.first + "'");
}

void stretch_to_unit(std::span<float> maps, std::int64_t n) {
  PEN_CHECK(n >= 1 && maps.size() % static_cast<std::size_t>(n) == 0, "attribution: ", maps.size(), " values of ", n,
            " maps");
  const std::size_t pixels = maps.size() / static_cast<std::size_t>(n);
  for (std::size_t first = 0; first < maps.size(); first += pixels) {
    const auto map = maps.subspan(first, pixels);
    const auto [low, high] = std::minmax_element(map.begin(), map.end());
    const double from = static_cast<double>(*low), range = static_cast<double>(*high) - from;
    for (float& v : map) v = range > 0 ? static_cast<float>((static_cast<double>(v) - from) / range) : 0.0f;
  }
}

}  // namespace pen::eval
