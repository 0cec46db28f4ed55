// Reading a classifier from inside: gradients of a class's logit, and the results of any of its layers.
#pragma once

#include <string>
#include <vector>

#include "eval/attribution/method.h"

namespace pen::eval {

// A module that gives feature maps.
struct Layer {
  std::string name;
  Shape shape;  // (H,W,C) of its result for one image
};
// All of them, in the order in which they finish, for images of side `size`. A module that the network runs more than
// once stands where it ran last.
std::vector<Layer> layers_of(pen::Classifier& network, std::int64_t size);
// The last of them: the finest features of whole objects, before everything is averaged.
std::string default_layer(pen::Classifier& network, std::int64_t size);

// `name` if it is a layer that gives feature maps, default_layer() if it is empty; else a usage error that lists the
// nearest ones.
std::string checked_layer(pen::Classifier& network, std::int64_t size, const std::string& name);

// One pass through the network that stops to look at a layer.
struct LayerPass {
  Tensor activation;  // (N,H,W,C)
  Tensor gradient;    // the same shape: of each image's own logit; undefined if not asked for
  Tensor logits;      // (N,classes)
  std::vector<std::int64_t> targets;
};
// The layer is options.layer, which checked_layer() has seen, or the default one.
LayerPass pass_layer(const Question& question, bool with_gradient);

// (N,classes): 1 at the class of each image, 0 elsewhere.
Tensor one_hot(const std::vector<std::int64_t>& classes, const Tensor& logits);

// d logit of each image's class / d x.
struct InputGradient {
  Tensor gradient;  // (N,S,S,3)
  Tensor logits;    // (N,classes)
};
InputGradient input_gradient(const Question& question);
// The same at other images (those of the question, changed), for classes that are known already.
Tensor input_gradient_at(pen::Classifier& network, const Tensor& x, const std::vector<std::int64_t>& classes);

}  // namespace pen::eval
