#include "eval/attribution/probe.h"

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/nearest.h"
#include "tensor/autograd.h"
#include "tensor/ops.h"

namespace pen::eval {
namespace {

// A hook on a module for as long as this lives.
class Hooked {
 public:
  Hooked(Module& module, Module::ForwardHook hook) : module_(module) { module_.set_forward_hook(std::move(hook)); }
  ~Hooked() { module_.set_forward_hook({}); }
  Hooked(const Hooked&) = delete;
  Hooked& operator=(const Hooked&) = delete;

 private:
  Module& module_;
};

// The names that come closest, for a hint.
std::string nearest_layers(const std::string& name, std::vector<std::string> known) {
  constexpr std::size_t shown = 5;
  const auto distance = [&](const std::string& other) {
    // A name that the word is a part of is what was meant more often than one that is as short.
    return other.starts_with(name) || name.starts_with(other) ? 1 : edit_distance(name, other) + 1;
  };
  std::stable_sort(known.begin(), known.end(), [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
  std::string hint = "nearest layers: ";
  for (std::size_t i = 0; i < std::min(shown, known.size()); ++i) hint += (i ? ", " : "") + known[i];
  return hint + "; attribute --list_layers shows all";
}

}  // namespace

std::vector<Layer> layers_of(pen::Classifier& network, std::int64_t size) {
  std::vector<Layer> found;
  {
    std::vector<std::unique_ptr<Hooked>> hooks;
    for (const std::string& name : network.module_names()) {
      hooks.push_back(std::make_unique<Hooked>(network.find(name), [&found, name](Module&, const Tensor& y) {
        std::erase_if(found, [&](const Layer& layer) { return layer.name == name; });
        if (y.shape().size() == 4) found.push_back({name, {y.size(1), y.size(2), y.size(3)}});
        return Tensor{};
      }));
    }
    const NoGrad no_grad;
    network.logits(Tensor::zeros({1, size, size, 3}, network.dtype(), network.device()));
  }
  return found;
}

std::string default_layer(pen::Classifier& network, std::int64_t size) {
  const std::vector<Layer> layers = layers_of(network, size);
  PEN_CHECK_AS(usage, !layers.empty(), "the classifier has no layer that gives feature maps");
  return layers.back().name;
}

std::string checked_layer(pen::Classifier& network, std::int64_t size, const std::string& name) {
  if (name.empty()) return default_layer(network, size);
  std::vector<std::string> known;
  for (const Layer& layer : layers_of(network, size)) known.push_back(layer.name);
  if (std::find(known.begin(), known.end(), name) != known.end()) return name;
  const std::vector<std::string> modules = network.module_names();
  const bool exists = std::find(modules.begin(), modules.end(), name) != modules.end();
  fail(ErrorKind::usage, str(exists ? "no feature maps come out of layer '" : "there is no layer '", name, "'"),
       nearest_layers(name, known));
}

LayerPass pass_layer(const Question& question, bool with_gradient) {
  pen::Classifier& network = question.network;
  const std::string name =
      question.options.layer.empty() ? default_layer(network, question.x.size(1)) : question.options.layer;
  PEN_CHECK(!with_gradient || grad_enabled(), "attribution: gradients are switched off");
  LayerPass pass;
  Tensor seen;
  {
    const Hooked hook(network.find(name), [&](Module&, const Tensor& y) {
      // Cut here: nothing before the layer is recorded, and the gradient stops at it.
      seen = y.detach();
      if (with_gradient) seen.set_requires_grad(true);
      return seen;
    });
    if (with_gradient) {
      pass.logits = network.logits(question.x);
    } else {
      const NoGrad no_grad;
      pass.logits = network.logits(question.x);
    }
  }
  PEN_CHECK(seen.defined() && seen.shape().size() == 4, "no feature maps come out of layer '", name, "'");
  pass.targets = question.targets(pass.logits);
  pass.activation = seen.detach();
  if (with_gradient) {
    PEN_CHECK_AS(usage, pass.logits.requires_grad(), "the logits do not depend on layer '", name, "'");
    backward(pass.logits, one_hot(pass.targets, pass.logits), {.only = {seen}});
    pass.gradient = seen.grad();
    pass.logits = pass.logits.detach();
  }
  return pass;
}

Tensor one_hot(const std::vector<std::int64_t>& classes, const Tensor& logits) {
  std::vector<double> values(static_cast<std::size_t>(logits.numel()), 0.0);
  for (std::size_t i = 0; i < classes.size(); ++i)
    values[i * static_cast<std::size_t>(logits.size(1)) + static_cast<std::size_t>(classes[i])] = 1;
  return Tensor::from(values, logits.shape()).to(logits.dtype()).to(logits.device());
}

InputGradient input_gradient(const Question& question) {
  PEN_CHECK(grad_enabled(), "attribution: gradients are switched off");
  Tensor x = question.x.detach();
  x.set_requires_grad(true);
  // The frozen network knows one way through a ReLU.
  const bool plain = relu_rule() == kernels::ReluRule::standard;
  const Tensor logits = (plain ? question.runner() : question.network).logits(x);
  backward(logits, one_hot(question.targets(logits), logits), {.only = {x}});
  return {x.grad(), logits.detach()};
}

Tensor input_gradient_at(pen::Classifier& network, const Tensor& at, const std::vector<std::int64_t>& classes) {
  PEN_CHECK(grad_enabled(), "attribution: gradients are switched off");
  Tensor x = at.detach();
  x.set_requires_grad(true);
  const Tensor logits = network.logits(x);
  backward(logits, one_hot(classes, logits), {.only = {x}});
  return x.grad();
}

}  // namespace pen::eval
