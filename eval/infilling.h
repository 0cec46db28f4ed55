// Infilled images for scoring and explaining.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/options.h"
#include "eval/batch.h"
#include "models/infiller.h"

namespace pen {

// The options that score and explain share. Neither side named: both are infilled.
struct InfillOptions {
  std::string infiller_model, infiller_path;
  bool do_infill_for_mask_in = false, do_infill_for_mask_out = false;
  bool infills_in() const { return do_infill_for_mask_in || !do_infill_for_mask_out; }
  bool infills_out() const { return do_infill_for_mask_out || !do_infill_for_mask_in; }
};
// Refuses options without effect and missing files (usage errors), and takes the path from the environment if need be.
void resolve_infilling(InfillOptions& options, OptionValues& values);

namespace eval {

// The infiller on its device, or null without a model. strict: see InfillerOptions.
std::shared_ptr<Infiller> open_infiller(const InfillOptions& options, bool strict, std::uint64_t seed, Device device);

// The masked images (n, S, S, 3), infilled: images and masks (n, S, S) as they are, a batch in pieces.
std::vector<float> infilled_images(Infiller& infiller, std::span<const float> images, std::span<const float> masks,
                                   bool in, std::int64_t n, std::int64_t size);

// Share of the masked and infilled images whose largest logit is the label's, in percent, over all batches that were
// added.
class InfilledAccuracy {
 public:
  InfilledAccuracy(const InfillOptions& options, std::shared_ptr<Infiller> infiller, Classifier classifier)
      : options_(options), infiller_(std::move(infiller)), classifier_(std::move(classifier)) {}
  void add(const Batch& batch, std::span<const float> masks);
  bool in() const { return options_.infills_in(); }
  bool out() const { return options_.infills_out(); }
  double masked_in() const { return percent(right_in_); }
  double masked_out() const { return percent(right_out_); }

 private:
  double percent(std::int64_t right) const;
  const InfillOptions options_;
  std::shared_ptr<Infiller> infiller_;
  Classifier classifier_;
  std::int64_t right_in_ = 0, right_out_ = 0, images_ = 0;
};

}  // namespace eval
}  // namespace pen
