// penumbra options: every option of every command, for people (docs/options.md is made by it) and programs.
#include <algorithm>
#include <cstdio>

#include "base/nearest.h"
#include "base/option_rules.h"
#include "cli/commands.h"
#include "cli/help.h"

namespace pen::cli {
namespace {

struct Options : LogOptions {
  std::string command;
  bool markdown = false;
};

const OptionTable& table() {
  static const OptionTable built = [] {
    OptionsOf<Options> t;
    t.group("What");
    t.add("command", &Options::command, "only the options of this command").placeholder("COMMAND").by_place().or_none();
    t.add("markdown", &Options::markdown, "as the page docs/options.md");
    add_log_options(t, "as JSON");
    return OptionTable(t);
  }();
  return built;
}

void check(Options& options, OptionValues& values) {
  if (options.markdown && options.json) rules::contradiction(values, "markdown", "json", "the page has one form");
}

int run(const Options& options, const Invocation&) {
  std::vector<Command> chosen = commands();
  if (!options.command.empty()) {
    std::vector<std::string> names;
    for (const Command& command : chosen) names.push_back(command.name);
    std::erase_if(chosen, [&](const Command& command) { return command.name != options.command; });
    if (chosen.empty())
      fail(ErrorKind::usage, str("there is no command '", options.command, "'"), did_you_mean(options.command, names));
  }
  std::string text;
  if (options.json)
    text = options_json(chosen);
  else if (options.markdown)
    text = pen::cli::markdown(chosen);
  else
    for (const Command& command : chosen) text += (text.empty() ? "" : "\n\n") + command_help(command);
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace

Command options_command() {
  return make_command<Options>("options", "show every option of every command",
                               "  penumbra options --markdown > docs/options.md\n", table(), check, run);
}

}  // namespace pen::cli
