#include "eval/attribution/options.h"

#include <algorithm>

#include "base/check.h"
#include "base/nearest.h"
#include "base/option_rules.h"
#include "base/words.h"
#include "eval/attribution/registry.h"

namespace pen {

const std::vector<std::string>& method_option_names() {
  static const std::vector<std::string> names = {"layer", "internal_batch", "samples", "steps",  "noise",
                                                 "cells", "keep",           "window",  "stride", "smooth"};
  return names;
}

void check_method_options(const OptionValues& values, const std::vector<std::string>& methods) {
  std::string listed;
  std::vector<const eval::Method*> found;
  for (const std::string& name : methods) {
    listed += (listed.empty() ? "" : ", ") + name;
    if (const eval::Method* method = eval::find_attribution(name)) found.push_back(method);
  }
  const auto any = [&](auto f) { return std::any_of(found.begin(), found.end(), f); };
  for (const std::string& option : method_option_names()) {
    if (!values.table().find(option)) continue;
    const bool general = option == "internal_batch" || option == "smooth";
    rules::check_effect(values, general ? !found.empty() : any([&](const eval::Method* m) { return m->reads(option); }),
                        {option}, listed.empty() ? "no attribution method is run" : "not read by " + listed);
  }
}

eval::TargetRule target_of(const MethodOptions& options, bool labels) {
  const eval::TargetRule rule =
      eval::parse_target(options.target.empty() ? (labels ? "label" : "top1") : options.target);
  PEN_CHECK_AS(usage, labels || rule.kind != eval::TargetRule::Kind::label,
               "--target label: the images come without labels; use top1 or a class number");
  return rule;
}

eval::AttributionOptions attribution_options(const MethodOptions& o, std::int64_t seed) {
  eval::AttributionOptions out;
  out.layer = o.layer;
  out.internal_batch = o.internal_batch;
  out.samples = o.samples;
  out.steps = o.steps;
  out.noise = o.noise;
  out.keep = o.keep;
  out.cells = o.cells;
  out.window = o.window;
  out.stride = o.stride;
  out.smooth = o.smooth;
  out.seed = static_cast<std::uint64_t>(seed);
  return out;
}

std::vector<std::string> parse_methods(const std::string& text) {
  std::vector<std::string> methods;
  for (const std::string_view item : comma_items(text)) {
    std::string name(item);
    if (name.empty()) continue;
    if (name != "casme") {
      if (const eval::Method* method = eval::find_attribution(name)) {
        name = method->name;
      } else {
        std::vector<std::string> known = eval::attribution_names();
        known.insert(known.begin(), "casme");
        if (did_you_mean(name, known).empty()) eval::attribution_method(name);
        fail(ErrorKind::usage, str("there is no attribution method '", name, "'"), did_you_mean(name, known));
      }
    }
    PEN_CHECK_AS(usage, std::find(methods.begin(), methods.end(), name) == methods.end(), "--method: '", name,
                 "' is named twice");
    methods.push_back(name);
  }
  PEN_CHECK_AS(usage, !methods.empty(), "--method: no method is named");
  return methods;
}

}  // namespace pen
