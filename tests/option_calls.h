// Calls with options, as a command line and a file give them, for tests.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/options.h"
#include "train/options.h"

namespace pen::test {

// The message of the usage error that `body` has to throw, with its hint on a second line.
template <class Body>
std::string refusal(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::usage);
    return error.hint().empty() ? error.what() : std::string(error.what()) + "\n" + error.hint();
  }
  FAIL_CHECK("no error");
  return {};
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Options as a call gives them: a file's JSON first, then words of the command line. `needed` adds what every training
// has to be told.
struct Call {
  TrainOptions options;
  OptionValues values{train_options(), &options};

  Call(const std::string& json, const std::vector<std::pair<std::string, std::string>>& words, bool needed = true) {
    if (!json.empty()) values.read_json(json, "my.json");
    if (needed)
      for (const auto* name : {"train_json", "output_path", "resnet_path"}) set(name, "x");
    for (const auto& [name, text] : words) set(name, text);
  }
  void set(const std::string& name, const std::string& text) {
    values.set_text(name, text, {OptionSource::command_line, {}, {}});
  }
  Call& resolved() {
    values.check_required();
    resolve(options, values);
    return *this;
  }
};

inline const std::vector<std::pair<std::string, std::string>> one_side = {{"mask_in_criterion", "crossentropy"}};
inline std::vector<std::pair<std::string, std::string>> with_side(
    std::vector<std::pair<std::string, std::string>> words) {
  words.push_back(one_side[0]);
  return words;
}

}  // namespace pen::test
