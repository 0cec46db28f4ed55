// Runs an attribution method on batches: in pieces of bounded memory, to maps of the input's size.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "eval/attribution/registry.h"
#include "eval/batch.h"

namespace pen::eval {

// Maps that say nothing, and are therefore zero everywhere.
struct DeadMaps {
  std::int64_t images = 0;      // that were looked at
  std::int64_t zero = 0;        // no value but 0 (or one constant value)
  std::int64_t not_finite = 0;  // NaN or infinity somewhere
  std::string first;            // path of the first one
};

class Attributor {
 public:
  // network: in evaluation mode, on its device. fast: the same function for logits and gradients of the input alone;
  // null where there is none. The layer and the options are checked here, before the first image.
  Attributor(const Method& method, AttributionOptions options, TargetRule target,
             std::shared_ptr<pen::Classifier> network, std::int64_t size,
             std::shared_ptr<pen::Classifier> fast = nullptr);

  // Maps (n,S,S) and logits of a batch. At most options.internal_batch images, or copies of one, are on the device at a
  // time, fewer where they do not fit into memory. Labels are read for target label only. The result for an image does
  // not depend on the batch that it is in, but for the order of sums in float32.
  Maps operator()(const Batch& batch);

  // Called when some images of a batch are done, with their number: once for each image where a method takes many
  // passes.
  void on_progress(std::function<void(std::int64_t images)> f) { progress_ = std::move(f); }

  const Method& method() const { return *method_; }
  const AttributionOptions& options() const { return options_; }  // with the layer and smoothing that were chosen
  const DeadMaps& dead() const { return dead_; }
  // "2 of 100 maps of grad_cam were ..."; empty if all maps say something. Runs log it once, at their end.
  std::string warning() const;

 private:
  Attribution explain(const Tensor& images, std::span<const std::int64_t> labels);
  void add_piece(const Batch& batch, std::int64_t first, std::int64_t count, Maps& out);

  const Method* method_;
  AttributionOptions options_;
  TargetRule target_;
  std::shared_ptr<pen::Classifier> network_, fast_;
  std::int64_t size_;
  std::function<void(std::int64_t)> progress_;
  DeadMaps dead_;
};

// Maps (N,h,w) as metrics eat them: resized to (N,S,S) bilinearly with aligned corners (as the reference enlarges
// Grad-CAM) where they are smaller, then smoothed.
Tensor finished_maps(const Tensor& maps, std::int64_t size, double smooth);

// Each of n maps on its own moved and scaled to [0, 1], in place, as metrics need that take maps for masks. A map
// without variation becomes 0 everywhere.
void stretch_to_unit(std::span<float> maps, std::int64_t n);

}  // namespace pen::eval
