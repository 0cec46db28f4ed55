#include "tensor/autograd.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <unordered_set>

#include "kernels/kernels.h"

namespace pen {
namespace {

thread_local bool recording = true;
thread_local kernels::ReluRule current_relu_rule = kernels::ReluRule::standard;
std::atomic<std::uint64_t> next_sequence{1};

// `sum` += `part`, in place where nobody else holds the memory.
void accumulate(Tensor& sum, Tensor part, const char* where) {
  if (!sum.defined()) {
    sum = std::move(part);
    return;
  }
  PEN_CHECK(sum.shape() == part.shape() && sum.dtype() == part.dtype(), "backward of '", where,
            "': a gradient of shape ", to_string(part.shape()), " meets one of shape ", to_string(sum.shape()));
  Tensor out = sum.unique() ? sum : Tensor::empty(sum.shape(), sum.dtype(), sum.device());
  dispatch16(sum.dtype(), where, [&]<class T>() {
    const T* a = sum.data<T>();
    kernels::add_scaled(context(sum.device()), sum.numel(), 1.0, a, 1.0, part.data<T>(), out.mutable_data<T>());
  });
  sum = std::move(out);
}

}  // namespace

Saved::Saved(const Tensor& t) {
  if (!t.defined()) return;
  tensor_ = t.detach();
  version_ = t.version();
}

Tensor Saved::get(const char* operation) const {
  if (tensor_.defined())
    PEN_CHECK(tensor_.version() == version_, "backward of '", operation, "': a tensor of shape ",
              to_string(tensor_.shape()), " that it saved was modified in place since (version ", tensor_.version(),
              ", saved at ", version_, ")");
  return tensor_;
}

bool grad_enabled() { return recording; }
NoGrad::NoGrad() : before_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = before_; }

kernels::ReluRule relu_rule() { return current_relu_rule; }
ReluRuleScope::ReluRuleScope(kernels::ReluRule rule) : before_(current_relu_rule) { current_relu_rule = rule; }
ReluRuleScope::~ReluRuleScope() { current_relu_rule = before_; }

bool needs_grad(std::initializer_list<const Tensor*> inputs) {
  return recording && std::any_of(inputs.begin(), inputs.end(), [](const Tensor* t) { return t->requires_grad(); });
}

bool needs_grad(std::span<const Tensor> inputs) {
  return recording && std::any_of(inputs.begin(), inputs.end(), [](const Tensor& t) { return t.requires_grad(); });
}

void record(const char* name, Tensor& result, std::vector<Tensor> inputs, std::function<void(Backward&)> backward) {
  auto node = std::make_shared<Node>();
  node->name = name;
  node->sequence = next_sequence++;
  node->dtype = result.dtype();
  node->device = result.device();
  node->backward = std::move(backward);
  for (const Tensor& t : inputs) {
    Node::Edge edge;
    if (t.defined()) {
      if (t.impl()->node)
        edge.node = t.impl()->node;
      else if (t.impl()->requires_grad)
        edge.leaf = t.handle();
    }
    node->inputs.push_back(std::move(edge));
  }
  result.impl()->node = std::move(node);
}

// Without this, destroying a chain would recurse once per node.
Node::~Node() {
  thread_local std::vector<std::shared_ptr<Node>>* pending = nullptr;
  const auto hand_over = [&] {
    for (Edge& edge : inputs)
      if (edge.node) pending->push_back(std::move(edge.node));
  };
  backward = nullptr;
  if (pending) {
    hand_over();
    return;
  }
  std::vector<std::shared_ptr<Node>> list;
  pending = &list;
  hand_over();
  while (!list.empty()) {
    const std::shared_ptr<Node> last = std::move(list.back());
    list.pop_back();
  }
  pending = nullptr;
}

// One backward pass.
struct Engine {
  BackwardOptions options;
  std::unordered_set<const TensorImpl*> only;
  std::unordered_map<const Node*, bool> needed;
  std::unordered_map<const Node*, Tensor> gradients;

  bool wants(const Node::Edge& edge) const {
    if (edge.node) return needed.at(edge.node.get());
    return edge.leaf && (only.empty() || only.count(edge.leaf.get()));
  }

  // All nodes that the root depends on, newest first. Holds them, so that releasing edges on the way is safe.
  static std::vector<std::shared_ptr<Node>> order(const std::shared_ptr<Node>& root) {
    std::vector<std::shared_ptr<Node>> found{root};
    std::unordered_set<const Node*> seen{root.get()};
    for (std::size_t i = 0; i < found.size(); ++i) {
      const std::vector<Node::Edge>& edges = found[i]->inputs;
      for (const Node::Edge& edge : edges)
        if (edge.node && seen.insert(edge.node.get()).second) found.push_back(edge.node);
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a->sequence > b->sequence; });
    return found;
  }

  // The gradient after a hook has seen it. What a hook returns goes to kernels, so it must fit.
  static Tensor hooked(const Node& node, const std::function<Tensor(const Tensor&)>& hook, const Tensor& dy) {
    const Tensor replaced = hook(dy);
    if (!replaced.defined()) return dy;
    PEN_CHECK(replaced.shape() == dy.shape() && replaced.dtype() == dy.dtype() && replaced.device() == dy.device(),
              "a hook on '", node.name, "' returned ", to_string(replaced.shape()), " ", name_of(replaced.dtype()),
              " for a gradient ", to_string(dy.shape()), " ", name_of(dy.dtype()));
    return replaced;
  }

  void run(const std::shared_ptr<Node>& root, Tensor gradient) {
    for (const Tensor& t : options.only) {
      PEN_CHECK(t.defined() && !t.impl()->node && t.requires_grad(),
                "backward: `only` names a tensor that is not a leaf that requires a gradient");
      only.insert(t.impl());
    }
    const std::vector<std::shared_ptr<Node>> nodes = order(root);
    // Oldest first: whether a wanted leaf lies below.
    for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {
      const std::vector<Node::Edge>& edges = (*it)->inputs;
      needed[it->get()] = std::any_of(edges.begin(), edges.end(), [&](const Node::Edge& e) { return wants(e); });
    }
    gradients[root.get()] = std::move(gradient);
    for (const std::shared_ptr<Node>& node : nodes) {
      auto entry = gradients.find(node.get());
      if (entry != gradients.end()) {
        Backward call;
        call.engine_ = this;
        call.node_ = node.get();
        call.dy_ = std::move(entry->second);
        gradients.erase(entry);
        for (const auto& hook : node->hooks) call.dy_ = hooked(*node, hook, call.dy_);
        if (needed.at(node.get())) {
          PEN_CHECK(node->backward, "backward of '", node->name,
                    "': its saved tensors were released by an earlier backward; pass retain_graph to the first one");
          node->backward(call);
          for (auto& [input, written] : call.targets_) call.set(input, std::move(written));
        }
      }
      if (!options.retain_graph) node->backward = nullptr;
    }
  }
};

bool Backward::wants(std::size_t input) const { return engine_->wants(node_->inputs.at(input)); }
const char* Backward::operation() const { return node_->name; }

void Backward::set(std::size_t input, Tensor gradient) {
  const Node::Edge& edge = node_->inputs.at(input);
  if (!wants(input)) return;
  if (edge.node) {
    accumulate(engine_->gradients[edge.node.get()], std::move(gradient), node_->name);
  } else {
    PEN_CHECK(gradient.shape() == edge.leaf->shape && gradient.dtype() == edge.leaf->dtype, "backward of '",
              node_->name, "': gradient ", to_string(gradient.shape()), " ", name_of(gradient.dtype()),
              " for an input of shape ", to_string(edge.leaf->shape), " ", name_of(edge.leaf->dtype));
    Tensor sum(std::exchange(edge.leaf->grad, nullptr));
    // What stays in a leaf is its own: dy may be shared with another input, or be the caller's.
    if (!sum.defined() && !gradient.unique()) gradient = gradient.clone();
    accumulate(sum, std::move(gradient), node_->name);
    edge.leaf->grad = sum.handle();
  }
}

Backward::Target Backward::target(std::size_t input, const Shape& shape) {
  const Node::Edge& edge = node_->inputs.at(input);
  if (edge.leaf && edge.leaf->grad) {
    Tensor existing(std::exchange(edge.leaf->grad, nullptr));
    // As in set(): what somebody else holds too is not changed.
    if (!existing.unique()) existing = existing.clone();
    edge.leaf->grad = existing.handle();
    PEN_CHECK(existing.shape() == shape, "backward of '", node_->name, "': gradient ", to_string(shape),
              " for an input of shape ", to_string(existing.shape()));
    return {existing, kernels::Accum::add};
  }
  // Parameters of a node in 16 bit are wider than its result.
  const DType dtype = edge.leaf ? edge.leaf->dtype : edge.node ? edge.node->dtype : node_->dtype;
  Tensor fresh = Tensor::empty(shape, dtype, node_->device);
  targets_.emplace_back(input, fresh);
  return {fresh, kernels::Accum::write};
}

void backward(const Tensor& root, const Tensor& gradient, const BackwardOptions& options) {
  PEN_CHECK(root.defined() && root.impl()->node,
            "backward: the root has no history; nothing that requires a gradient led to it");
  Tensor seed = gradient.defined() ? gradient.detach() : Tensor::full(root.shape(), 1.0, root.dtype(), root.device());
  PEN_CHECK(seed.shape() == root.shape() && seed.dtype() == root.dtype(), "backward: a gradient of shape ",
            to_string(seed.shape()), " for a root of shape ", to_string(root.shape()));
  NoGrad no_grad;
  Engine engine;
  engine.options = options;
  engine.run(root.impl()->node, std::move(seed));
}

}  // namespace pen
