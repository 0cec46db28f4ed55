// Modules: a named tree of parameters, buffers and children, as PyTorch's state dicts name them
// ("layer1.0.bn1.weight").
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace pen {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // Depth first, in the order of declaration (which is the files' order).
  std::vector<NamedTensor> parameters(const std::string& prefix = {}) const;
  std::vector<NamedTensor> buffers(const std::string& prefix = {}) const;
  // Parameters and buffers as a state dict lists them: a module's own first, then its children's.
  std::vector<NamedTensor> state(const std::string& prefix = {}) const;
  // "" for this module itself, "layer1.0.conv1" for one below; an Error lists the nearest names.
  Module& find(const std::string& path);
  std::vector<std::string> module_names() const;  // every module below, parents before children

  // Training (batch statistics, noise) or evaluation, for the whole tree.
  void train(bool training = true);
  void eval() { train(false); }
  bool is_training() const { return training_; }
  void set_requires_grad(bool flag);  // of all parameters
  void zero_grad();
  // Moves parameters and buffers (their histories and gradients are dropped).
  void to(Device device);
  void to(DType dtype);
  Device device() const;
  DType dtype() const;

  // Called with each result of this module's forward; may return another tensor (undefined: keep). Attribution reads
  // and changes activations this way.
  using ForwardHook = std::function<Tensor(Module&, const Tensor&)>;
  void set_forward_hook(ForwardHook hook) { hook_ = std::move(hook); }
  bool has_forward_hook() const { return static_cast<bool>(hook_); }

 protected:
  Tensor& add_parameter(const std::string& name, Tensor tensor);
  Tensor& add_buffer(const std::string& name, Tensor tensor);
  void add_child(const std::string& name, Module& child);  // a member of this module, or owned by it
  // A new child that this module owns.
  template <class T, class... Args>
  T& make_child(const std::string& name, Args&&... args) {
    auto child = std::make_unique<T>(std::forward<Args>(args)...);
    T& made = *child;
    owned_.push_back(std::move(child));
    add_child(name, made);
    return made;
  }
  Tensor hooked(Tensor result);  // what forward returns

 private:
  struct Entry {
    std::string name;
    std::unique_ptr<Tensor> tensor;
    bool is_parameter;
  };
  void visit(const std::string& prefix, const std::function<void(const std::string&, Tensor&, bool)>& f) const;
  std::vector<Entry> entries_;
  std::vector<std::pair<std::string, Module*>> children_;
  std::vector<std::unique_ptr<Module>> owned_;
  ForwardHook hook_;
  bool training_ = true;
};

// Copies `from` into the module's state, by name. Strict: every name on both sides, equal shapes; else one Error of
// kind checkpoint that lists what is missing, unexpected (with the nearest known name) and mis-shaped.
// `num_batches_tracked` may be absent.
void load_state(Module& module, const std::vector<NamedTensor>& from, const std::string& source);
// A copy of the state that later training does not change.
std::vector<NamedTensor> copy_state(const Module& module);
// Of all its elements together.
std::int64_t bytes_of(const std::vector<NamedTensor>& state);

}  // namespace pen
