// --infiller_model and --infiller_path, which training, scoring and explaining share.
#pragma once

#include "base/options.h"
#include "models/infiller.h"

namespace pen {

// T has the fields infiller_model and infiller_path.
template <class T>
void add_infiller_options(OptionsOf<T>& table) {
  std::string what = "what fills in the pixels that a mask removes. ";
  for (const InfillerKind& kind : infiller_kinds()) what += std::string(kind.name) + ": " + kind.what + "; ";
  table.add("infiller_model", &T::infiller_model, what.substr(0, what.size() - 2)).one_of(infiller_names()).or_none();
  table
      .add("infiller_path", &T::infiller_path,
           "its weights; none: the file that the environment variable CA_MODEL_PATH (ca_infiller) or DFNET_MODEL_PATH "
           "(dfn_infiller) names. DFNet's published weights are for non-commercial use")
      .placeholder("FILE")
      .or_none();
}

// Fills in the path from the environment, so that it stands among the run's options. A path without effect, or one that
// is missing: a usage error.
void resolve_infiller_file(const std::string& model, std::string& path, bool to_train, OptionValues& values);

}  // namespace pen
