// Reverse-mode differentiation. Each recorded operation is a node that knows its inputs' nodes and a function from the
// gradient of its result to the gradients of its inputs. What that function reads is saved per call. Nothing recurses:
// graphs of any length are walked and destroyed on an ordinary stack.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace pen {

// A tensor kept for a backward pass, with the version that it had. get() is an Error that names the operation if the
// elements were modified since.
class Saved {
 public:
  Saved() = default;
  explicit Saved(const Tensor& t);  // an undefined tensor may be saved
  Tensor get(const char* operation) const;

 private:
  Tensor tensor_;  // detached: an operation may save its own result without a cycle
  std::uint64_t version_ = 0;
};

// What a node's backward function is called with.
class Backward {
 public:
  // Gradient of the node's result; unique() tells whether it may be overwritten.
  Tensor& dy() { return dy_; }
  bool wants(std::size_t input) const;
  // Hands over the gradient of an input.
  void set(std::size_t input, Tensor gradient);
  // Where a kernel shall put the gradient of an input: the existing gradient of a leaf (to be added to), or new memory
  // (to be written). Counts as set().
  struct Target {
    Tensor tensor;
    kernels::Accum accum;
  };
  Target target(std::size_t input, const Shape& shape);
  const char* operation() const;

 private:
  friend struct Engine;
  struct Engine* engine_ = nullptr;
  Node* node_ = nullptr;
  Tensor dy_;
  std::vector<std::pair<std::size_t, Tensor>> targets_;  // set once the function has written them
};

struct Node {
  // Where the gradient of one input goes: to the operation that made it, to a leaf, or nowhere.
  struct Edge {
    std::shared_ptr<Node> node;
    std::shared_ptr<TensorImpl> leaf;
  };
  const char* name = "";
  std::uint64_t sequence = 0;  // later operations have larger numbers
  DType dtype = DType::f32;
  Device device;
  std::vector<Edge> inputs;
  std::function<void(Backward&)> backward;  // empty once it has run and was not retained
  std::vector<std::function<Tensor(const Tensor&)>> hooks;

  Node() = default;
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
};

// Whether operations of this thread are recorded.
bool grad_enabled();
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;

 private:
  bool before_;
};

// Whether an operation on these inputs has to be recorded.
bool needs_grad(std::initializer_list<const Tensor*> inputs);
bool needs_grad(std::span<const Tensor> inputs);

// Makes `result` the output of an operation. Only call it when needs_grad(inputs).
void record(const char* name, Tensor& result, std::vector<Tensor> inputs, std::function<void(Backward&)> backward);

struct BackwardOptions {
  bool retain_graph = false;  // keep what was saved, for another backward through the same graph
  // Only the gradients of these leaves are computed (nothing that only others need); empty: of all that require it.
  std::vector<Tensor> only;
};
// Adds d root / d leaf * gradient to the gradient of each leaf. `gradient` undefined: ones. Nodes are visited newest
// first. A root without history is an Error.
void backward(const Tensor& root, const Tensor& gradient = {}, const BackwardOptions& options = {});

// How ReLUs recorded by this thread pass gradients (guided backprop, deconvnet); set by scope.
kernels::ReluRule relu_rule();
class ReluRuleScope {
 public:
  explicit ReluRuleScope(kernels::ReluRule rule);
  ~ReluRuleScope();
  ReluRuleScope(const ReluRuleScope&) = delete;

 private:
  kernels::ReluRule before_;
};

}  // namespace pen
