// penumbra completion: scripts that let a shell complete commands and options.
#include <cstdio>

#include "cli/commands.h"
#include "cli/completion.h"

namespace pen::cli {
namespace {

struct Options : LogOptions {
  std::string shell;
};

const OptionTable& table() {
  static const OptionTable built = [] {
    OptionsOf<Options> t;
    t.group("What");
    t.add("shell", &Options::shell, "bash, zsh or fish")
        .one_of({"bash", "zsh", "fish"})
        .placeholder("bash|zsh|fish")
        .by_place()
        .must_be_given();
    add_log_options(t, "");
    return OptionTable(t);
  }();
  return built;
}

int run(const Options& options, const Invocation&) {
  std::fputs(completion_script(options.shell, commands()).c_str(), stdout);
  return 0;
}

}  // namespace

Command completion_command() {
  return make_command<Options>("completion", "write a completion script for a shell",
                               "  source <(penumbra completion bash)\n", table(), {}, run);
}

}  // namespace pen::cli
