// What is put to the test: anything that makes maps with the help of a classifier.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "eval/attribution/method.h"
#include "eval/batch.h"
#include "eval/networks.h"

namespace pen::eval::sanity {

// In which form maps are wanted. compared: as the tests compare them, which for masks is before the sigmoid. used: as
// everything else uses them.
enum class MapForm { compared, used };

struct Subject {
  std::string name;                          // casme, or an attribution method's
  std::shared_ptr<pen::Classifier> network;  // whose layers are randomised
  bool is_mask = false;                      // used maps lie in [0, 1]
  // The class of each image that all its maps are about, asked while the network is the original; empty: the labels.
  std::function<std::vector<std::int64_t>(const Batch&)> targets;
  // Maps (n, S, S) by the network as it is now; the batch's labels are the targets.
  std::function<std::vector<float>(const Batch&, MapForm)> maps;
};

// A masker; the network is the classifier whose taps it reads. It is told the labels, if it asks for classes.
Subject masker_subject(std::shared_ptr<const MaskMaker> masker);

// An attribution method on a classifier, for images of side `size`. Whatever is to be explained (labels, the class that
// the original network predicts, one class for all) stays the same while layers are random.
Subject attribution_subject(const Method& method, const AttributionOptions& options, const TargetRule& target,
                            std::shared_ptr<pen::Classifier> network, std::int64_t size);

}  // namespace pen::eval::sanity
