// The networks of a checkpoint as evaluation uses them: images in, masks and logits out, in pieces of bounded memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/batch.h"
#include "eval/options.h"
#include "models/checkpoint.h"

namespace pen::eval {

// A classifier in evaluation mode, on its device, and where it came from.
struct OpenedClassifier {
  std::shared_ptr<pen::Classifier> network;
  // The same function, for those who want logits, taps and the gradient of the input alone: its frozen copy, or
  // `network` itself where it was opened without one or has no frozen form.
  std::shared_ptr<pen::Classifier> runner;
  std::vector<std::string> class_names;  // empty if the file does not name them
  std::int64_t input_size = 224;         // side of the images that it was trained with
  std::string file;
};
// From a file of `train` or `fit-classifier`, or from plain weights. Anything wrong with it: a checkpoint error.
// arch: what load_classifier is told. fuse: run a frozen copy; without it layer by layer.
OpenedClassifier open_classifier(const std::string& path, Device device, const std::string& arch = {},
                                 bool fuse = true);

// Logits (n, classes) of n images (n, size, size, 3).
std::vector<float> logits_of(pen::Classifier& classifier, std::span<const float> images, std::int64_t n,
                             std::int64_t size);
// The same of what the masks (n, size, size) keep, or (in = false) of what they remove.
std::vector<float> masked_logits(pen::Classifier& classifier, std::span<const float> images,
                                 std::span<const float> masks, bool in, std::int64_t n, std::int64_t size);
// logits_of as the function that metrics ask for.
Classifier as_function(const OpenedClassifier& classifier, std::int64_t size);

// A masker beside the classifier whose taps it reads.
class MaskMaker {
 public:
  // casm_path: the masker's checkpoint. source: which classifier gives the taps; `original` is that of resnet_path.
  // use_p has to be given for a masker with add_prob_layers and for no other (usage errors). A classifier whose taps do
  // not fit the masker: a checkpoint error. Without `fuse` the classifier's own parameters are what runs, and changes
  // of them show.
  MaskMaker(const std::string& casm_path, const ClassifierSource& source, const std::string& resnet_path,
            std::optional<double> use_p, Device device, const std::string& arch = {}, bool fuse = true);

  // Masks (n, size, size) and the classifier's logits of n images (n, size, size, 3). classes: what a masker with
  // add_class_ids is told, one an image; empty: the predicted ones. no_sigmoid: the masks' logits instead.
  Maps operator()(std::span<const float> images, std::int64_t n, std::int64_t size,
                  std::span<const std::int64_t> classes, bool no_sigmoid = false) const;

  const OpenedClassifier& classifier() const { return classifier_; }
  bool uses_class_ids() const { return masker_->options().add_class_ids; }
  std::int64_t masker_classes() const { return masker_->options().classes; }
  std::int64_t input_size() const { return input_size_; }  // side of the images that the masker was trained with

 private:
  OpenedClassifier classifier_;
  std::shared_ptr<Masker> masker_;
  std::int64_t input_size_ = 224;
  double p_ = 0;
};

}  // namespace pen::eval
