// A training step on tiny networks, outside of any run.
#pragma once

#include <memory>

#include "base/parallel.h"
#include "train/step.h"

namespace pen::test {

// What is inside of classifiers, for its length.
struct PolicyScope {
  explicit PolicyScope(DType inside) { set_compute_policy({.frozen = inside}); }
  ~PolicyScope() { set_compute_policy({}); }
};

// A ResNet-18 of an eighth of the width with three classes, and a masker on taps 1 and 2, both from one seed.
struct TinyStep {
  TrainOptions options;
  std::unique_ptr<Classifier> classifier;
  std::unique_ptr<Masker> masker;
  std::unique_ptr<Sgd> sgd;
  std::unique_ptr<Adam> adam;
  std::unique_ptr<TrainStep> step;
  Rng draws{3};

  explicit TinyStep(const TrainOptions& o, Device device = {}, DType dtype = DType::f32) : options(o) {
    set_threads(1);  // more are no help to so little work
    Rng rng(5);
    classifier = make_classifier({"resnet18", 3, 0.125}, rng);
    MaskerOptions m;
    m.tap_widths = classifier->tap_widths();
    m.use_layers = {1, 2};
    m.add_prob_layers = o.add_prob_layers;
    m.add_class_ids = o.add_class_ids;
    m.classes = 3;
    m.bilinear = o.upsample == "bilinear";
    m.apply_gumbel = o.apply_gumbel;
    masker = std::make_unique<Masker>(m, rng);
    for (Module* const module : {static_cast<Module*>(classifier.get()), static_cast<Module*>(masker.get())}) {
      module->to(dtype);
      module->to(device);
    }
    sgd = std::make_unique<Sgd>(classifier->parameters(), o.lr, o.momentum, o.weight_decay);
    adam = std::make_unique<Adam>(masker->parameters(), o.lr_casme, o.weight_decay);
    step = std::make_unique<TrainStep>(options, *classifier, *masker, *sgd, *adam);
  }
};

}  // namespace pen::test
