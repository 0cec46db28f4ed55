#include "models/infiller_options.h"

#include "base/option_rules.h"

namespace pen {

void resolve_infiller_file(const std::string& model, std::string& path, bool to_train, OptionValues& values) {
  rules::check_effect(values, !model.empty(), {"infiller_path"}, "infiller_model is none");
  if (model.empty()) return;
  const InfillerKind& kind = infiller_kind(model);
  rules::check_effect(values, kind.network, {"infiller_path"}, "infiller_model " + model + " has no weights");
  if (!kind.network) return;
  if (path.empty() && kind.variable) {
    path = infiller_file(model, path);
    Origin origin = values.origin("infiller_path");
    origin.via = kind.variable;
    if (!path.empty()) values.note("infiller_path", origin);
  }
  if (path.empty() && kind.needs_file && !to_train)
    fail(ErrorKind::usage, "--infiller_model " + model + " needs its weights",
         kind.variable ? str("give --infiller_path FILE or set ", kind.variable) : "give --infiller_path FILE");
}

}  // namespace pen
