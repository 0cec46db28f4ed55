// penumbra: parse and dispatch.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/nearest.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/parse.h"
#include "tensor/memory.h"

namespace pen::cli {
namespace {

// Commands are found with dashes or underscores alike.
const Command& find_command(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    if (command.name == name) return command;
    names.push_back(command.name);
  }
  const std::string hint = did_you_mean(name, names);
  fail(ErrorKind::usage, str("unknown command '", name, "'"),
       hint.empty() ? "penumbra --help lists the commands" : hint);
}

int dispatch(const std::vector<std::string>& arguments) {
  std::vector<std::string> words(arguments.begin() + 1, arguments.end());
  if (words.empty()) {
    std::fputs(program_help(commands()).c_str(), stderr);
    return static_cast<int>(ErrorKind::usage);
  }
  if (words[0] == "--version") {
    std::printf("penumbra %s\n", version());
    return 0;
  }
  if (words[0] == "help" && words.size() > 1) words = {words[1], "--help"};
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    std::fputs(program_help(commands()).c_str(), stdout);
    return 0;
  }
  if (words[0].starts_with('-'))
    fail(ErrorKind::usage, str("the command comes first, found '", words[0], "'"),
         "penumbra COMMAND [OPTIONS]; penumbra --help lists the commands");
  const Command& command = find_command(words[0]);
  CommandLine line = parse(*command.table, {words.begin() + 1, words.end()});
  line.arguments = arguments;
  if (line.help) {
    std::fputs(command_help(command).c_str(), stdout);
    return 0;
  }
  return command.execute(line);
}

void report(const std::string& message, const std::string& hint) {
  std::fprintf(stderr, "error: %s\n", message.c_str());
  if (!hint.empty()) std::fprintf(stderr, "hint: %s\n", hint.c_str());
}

}  // namespace
}  // namespace pen::cli

int main(int argc, char** argv) {
  using pen::cli::report;
  constexpr int run_failed = static_cast<int>(pen::ErrorKind::run);
  int code = run_failed;
  try {
    code = pen::cli::dispatch({argv, argv + argc});
  } catch (const pen::Error& error) {
    report(error.what(), error.hint());
    code = error.exit_code();
  } catch (const std::bad_alloc&) {
    const auto held = pen::bytes_in_words(pen::memory_stats({}).live);
    report("out of memory: the system refused memory; tensors hold " + held,
           "a smaller --batch_size or --input_size needs less");
  } catch (const std::exception& error) {
    report(error.what(), {});
  }
  // Results that a full disk swallowed are no results.
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
    report(pen::str("cannot write to standard output: ", std::strerror(errno)), {});
    if (code == 0) code = run_failed;
  }
  return code;
}
