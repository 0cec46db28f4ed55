#include "layers/module.h"

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/nearest.h"

namespace pen {
namespace {

std::string join(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

}  // namespace

Tensor& Module::add_parameter(const std::string& name, Tensor tensor) {
  tensor.set_requires_grad(true);
  entries_.push_back({name, std::make_unique<Tensor>(std::move(tensor)), true});
  return *entries_.back().tensor;
}

Tensor& Module::add_buffer(const std::string& name, Tensor tensor) {
  entries_.push_back({name, std::make_unique<Tensor>(std::move(tensor)), false});
  return *entries_.back().tensor;
}

void Module::add_child(const std::string& name, Module& child) { children_.emplace_back(name, &child); }

Tensor Module::hooked(Tensor result) {
  if (!hook_) return result;
  Tensor replaced = hook_(*this, result);
  return replaced.defined() ? replaced : result;
}

void Module::visit(const std::string& prefix, const std::function<void(const std::string&, Tensor&, bool)>& f) const {
  for (const Entry& e : entries_) f(join(prefix, e.name), *e.tensor, e.is_parameter);
  for (const auto& [name, child] : children_) child->visit(join(prefix, name), f);
}

std::vector<NamedTensor> Module::parameters(const std::string& prefix) const {
  std::vector<NamedTensor> out;
  visit(prefix, [&](const std::string& name, Tensor& t, bool parameter) {
    if (parameter) out.push_back({name, t});
  });
  return out;
}

std::vector<NamedTensor> Module::buffers(const std::string& prefix) const {
  std::vector<NamedTensor> out;
  visit(prefix, [&](const std::string& name, Tensor& t, bool parameter) {
    if (!parameter) out.push_back({name, t});
  });
  return out;
}

std::vector<NamedTensor> Module::state(const std::string& prefix) const {
  std::vector<NamedTensor> out;
  visit(prefix, [&](const std::string& name, Tensor& t, bool) { out.push_back({name, t}); });
  return out;
}

std::vector<std::string> Module::module_names() const {
  std::vector<std::string> out;
  for (const auto& [name, child] : children_) {
    out.push_back(name);
    for (const std::string& below : child->module_names()) out.push_back(join(name, below));
  }
  return out;
}

Module& Module::find(const std::string& path) {
  Module* at = this;
  for (std::size_t begin = 0; begin < path.size();) {
    std::size_t end = path.find('.', begin);
    if (end == std::string::npos) end = path.size();
    const std::string name = path.substr(begin, end - begin);
    const auto it =
        std::find_if(at->children_.begin(), at->children_.end(), [&](const auto& c) { return c.first == name; });
    if (it == at->children_.end()) {
      fail(ErrorKind::usage, "there is no layer '" + path + "'", did_you_mean(path, module_names()));
    }
    at = it->second;
    begin = end + 1;
  }
  return *at;
}

void Module::train(bool training) {
  training_ = training;
  for (const auto& [name, child] : children_) child->train(training);
}

void Module::set_requires_grad(bool flag) {
  visit("", [&](const std::string&, Tensor& t, bool parameter) {
    if (parameter) t.set_requires_grad(flag);
  });
}

void Module::zero_grad() {
  visit("", [](const std::string&, Tensor& t, bool) { t.clear_grad(); });
}

void Module::to(Device device) {
  visit("", [&](const std::string&, Tensor& t, bool parameter) {
    if (t.dtype() == DType::i64) return;  // a counter: the CPU adds to it and would wait for a device to be read
    const bool wanted = t.requires_grad();
    t = t.to(device).detach();
    if (parameter) t.set_requires_grad(wanted);
  });
}

void Module::to(DType dtype) {
  visit("", [&](const std::string&, Tensor& t, bool parameter) {
    if (t.dtype() == DType::i64) return;
    const bool wanted = t.requires_grad();
    t = t.to(dtype).detach();
    if (parameter) t.set_requires_grad(wanted);
  });
}

Device Module::device() const {
  const auto all = state();
  return all.empty() ? Device{} : all.front().tensor.device();
}

DType Module::dtype() const {
  const auto all = state();
  return all.empty() ? DType::f32 : all.front().tensor.dtype();
}

void load_state(Module& module, const std::vector<NamedTensor>& from, const std::string& source) {
  std::map<std::string, const Tensor*> given;
  for (const NamedTensor& t : from) given[t.name] = &t.tensor;
  std::vector<std::string> known, problems;
  const std::vector<NamedTensor> state = module.state();
  for (const NamedTensor& t : state) known.push_back(t.name);
  for (const NamedTensor& t : state) {
    const auto it = given.find(t.name);
    if (it == given.end()) {
      if (!t.name.ends_with("num_batches_tracked")) problems.push_back("missing: " + t.name);
    } else if (it->second->shape() != t.tensor.shape()) {
      problems.push_back("shape of " + t.name + ": file " + to_string(it->second->shape()) + ", network " +
                         to_string(t.tensor.shape()));
    }
  }
  for (const NamedTensor& t : from) {
    if (std::find(known.begin(), known.end(), t.name) != known.end()) continue;
    const std::string guess = nearest(t.name, known);
    problems.push_back("unexpected: " + t.name + (guess.empty() ? "" : " (nearest known: " + guess + ")"));
  }
  if (!problems.empty()) {
    std::string text = str("'", source, "' does not fit the network, ", problems.size(), " differences:");
    for (std::size_t i = 0; i < problems.size() && i < 12; ++i) text += "\n  " + problems[i];
    if (problems.size() > 12) text += str("\n  and ", problems.size() - 12, " more");
    fail(ErrorKind::checkpoint, text);
  }
  for (const NamedTensor& t : state) {
    const auto it = given.find(t.name);
    if (it == given.end()) continue;
    Tensor to = t.tensor.detach();
    const bool floating = to.dtype() == DType::f32 || to.dtype() == DType::f64;
    to.copy_from(floating ? it->second->to(to.dtype()).to(to.device()) : it->second->to(to.device()));
  }
}

std::vector<NamedTensor> copy_state(const Module& module) {
  std::vector<NamedTensor> out = module.state();
  for (NamedTensor& t : out) t.tensor = t.tensor.clone();
  return out;
}

std::int64_t bytes_of(const std::vector<NamedTensor>& state) {
  std::int64_t bytes = 0;
  for (const NamedTensor& t : state) bytes += t.tensor.numel() * static_cast<std::int64_t>(size_of(t.tensor.dtype()));
  return bytes;
}

}  // namespace pen
