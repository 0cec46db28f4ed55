// Maps by name, beside the logits of the classifier that they explain: of a masker (casme) or any attribution method.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "eval/attribution/attributor.h"
#include "eval/networks.h"

namespace pen::eval {

struct MapMakerOptions {
  std::string method = "casme";  // or a name of registry.h
  // casme: the masker's checkpoint. An attribution method: a checkpoint whose classifier is explained, if there is one.
  std::string casm_path;
  // Which classifier: pickled is that of casm_path (of resnet_path, where there is none), original that of resnet_path,
  // path:FILE another.
  std::string classifier_load_mode = "pickled";
  std::string resnet_path;
  bool fuse = true;             // run a frozen copy of the classifier where that is enough
  std::string arch = {};        // of the classifier's file; empty: recognised
  std::optional<double> use_p;  // casme only
  AttributionOptions attribution;
  TargetRule target;            // label: a masker with add_class_ids is told the label too, else the predicted class
  std::int64_t input_size = 0;  // side of the images; 0: what the networks were trained with
};

// The classifier that options name for an attribution method. No file for it: a usage error.
OpenedClassifier open_explained(const MapMakerOptions& options, Device device);

class MapMaker {
 public:
  // explained: a classifier that is open already, for attribution methods (a grid of methods opens one).
  MapMaker(const MapMakerOptions& options, Device device, const OpenedClassifier* explained = nullptr);

  Maps operator()(const Batch& batch);  // a MapMethod

  const std::string& method() const { return method_; }
  const OpenedClassifier& classifier() const { return masker_ ? masker_->classifier() : classifier_; }
  std::int64_t size() const { return size_; }
  // Whether an image takes many passes, so that it pays to hand over one at a time and use what is done.
  bool slow() const { return attributor_ && attributor_->method().many; }
  const MaskMaker* masker() const { return masker_.get(); }  // null for attribution methods
  // The layer that an attribution method reads; empty if it reads none.
  std::string layer() const {
    return attributor_ && attributor_->method().at_layer ? attributor_->options().layer : std::string{};
  }
  // The class that the map of an image is about, given its label and the predicted class; -1 for methods that know
  // none.
  std::int64_t target_of_image(std::int64_t label, std::int64_t predicted) const;
  void on_progress(std::function<void(std::int64_t images)> f);
  // Of the maps so far; empty if there is nothing to warn of (always so for a masker).
  std::string warning() const { return attributor_ ? attributor_->warning() : std::string{}; }
  DeadMaps dead() const { return attributor_ ? attributor_->dead() : DeadMaps{}; }

 private:
  std::string method_;
  TargetRule target_;
  std::unique_ptr<MaskMaker> masker_;
  OpenedClassifier classifier_;
  std::unique_ptr<Attributor> attributor_;
  std::function<void(std::int64_t)> progress_;
  std::int64_t size_ = 0;
};

}  // namespace pen::eval
