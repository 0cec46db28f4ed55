#include "eval/attribution/method.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "tensor/ops.h"

namespace pen::eval {

std::string_view name_of(Needs needs) {
  switch (needs) {
    case Needs::image:
      return "image";
    case Needs::forward:
      return "forward";
    case Needs::activations:
      return "activations";
    case Needs::gradient:
      return "gradient";
  }
  return "";
}

bool Method::reads(std::string_view option) const {
  for (std::string_view rest = options; !rest.empty();) {
    const std::string_view item = rest.substr(0, rest.find(", "));
    if (item.substr(0, item.find(' ')) == option) return true;
    rest.remove_prefix(std::min(rest.size(), item.size() + 2));
  }
  return false;
}

TargetRule parse_target(std::string_view text) {
  if (text == "label") return {TargetRule::Kind::label, 0};
  if (text == "top1") return {TargetRule::Kind::top1, 0};
  TargetRule rule{TargetRule::Kind::fixed, 0};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rule.id);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || rule.id < 0)
    fail(ErrorKind::usage, str("target '", text, "' is no class"), "use label, top1 or a class number");
  return rule;
}

std::vector<std::int64_t> Question::targets(const Tensor& logits) const {
  const std::int64_t n = logits.size(0), classes = logits.size(1);
  if (target.kind == TargetRule::Kind::top1) return ops::argmax(logits);
  if (target.kind == TargetRule::Kind::fixed) {
    PEN_CHECK_AS(usage, target.id >= 0 && target.id < classes, "class ", target.id,
                 " cannot be explained: the classifier has classes 0 to ", classes - 1);
    return std::vector<std::int64_t>(static_cast<std::size_t>(n), target.id);
  }
  PEN_CHECK(static_cast<std::int64_t>(labels.size()) == n, "attribution: ", labels.size(), " labels for ", n,
            " images");
  for (const std::int64_t label : labels) {
    PEN_CHECK_AS(data, label >= 0 && label < classes, "label ", label,
                 " cannot be explained: the classifier has classes 0 to ", classes - 1);
  }
  return {labels.begin(), labels.end()};
}

}  // namespace pen::eval
