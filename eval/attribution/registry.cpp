#include "eval/attribution/registry.h"

#include <algorithm>

#include "base/check.h"
#include "base/nearest.h"
#include "eval/attribution/methods.h"

namespace pen::eval {

const std::vector<Method>& attribution_methods() {
  static const std::vector<Method> all = [] {
    std::vector<Method> list;
    for (const auto& family : {gradient_methods(), averaged_gradient_methods(), cam_methods(), more_cam_methods(),
                               perturbation_methods(), control_methods()})
      list.insert(list.end(), family.begin(), family.end());
    return list;
  }();
  return all;
}

std::vector<std::string> attribution_names() {
  std::vector<std::string> names;
  for (const Method& method : attribution_methods()) names.emplace_back(method.name);
  return names;
}

const Method* find_attribution(std::string_view name) {
  std::string wanted(name);
  std::replace(wanted.begin(), wanted.end(), '-', '_');
  if (wanted.starts_with("torchray_")) wanted.erase(0, 9);
  const std::vector<Method>& all = attribution_methods();
  const auto it = std::find_if(all.begin(), all.end(), [&](const Method& m) { return m.name == wanted; });
  return it == all.end() ? nullptr : &*it;
}

const Method& attribution_method(std::string_view name) {
  if (const Method* found = find_attribution(name)) return *found;
  std::string hint = did_you_mean(name, attribution_names());
  if (hint.empty()) {
    for (const std::string& known : attribution_names()) hint += (hint.empty() ? "known: " : ", ") + known;
  }
  fail(ErrorKind::usage, str("there is no attribution method '", name, "'"), hint);
}

}  // namespace pen::eval
