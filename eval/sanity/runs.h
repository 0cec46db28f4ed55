// The parts of run_sanity(): one run for each check, and the facts that they note.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "eval/sanity/run.h"

namespace pen::eval::sanity {

// Names with values as JSON, in the order in which they are added.
class Facts {
 public:
  template <class T>
  Facts& add(const std::string& name, const T& value) {
    JsonWriter json;
    json.value(value);
    list_.emplace_back(name, json.text());
    return *this;
  }
  const std::vector<std::pair<std::string, std::string>>& list() const { return list_; }

 private:
  std::vector<std::pair<std::string, std::string>> list_;
};

// Everything but the means and the files.
SanityRun run_mprt(const SanityOptions& options, Device device, const std::string& device_in_words);
SanityRun run_drt(const SanityOptions& options, Device device, const std::string& device_in_words);

}  // namespace pen::eval::sanity
