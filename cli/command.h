// One subcommand: its options, what they mean together, and the function that does it.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/run_options.h"

namespace pen::cli {

// What was typed after the command's name, taken apart but not yet converted.
struct CommandLine {
  std::vector<std::pair<const Option*, std::string>> given;
  std::string source_file;             // --ZZsrc
  bool print_config = false;           // --print_config
  bool help = false;                   // --help
  std::vector<std::string> arguments;  // as typed, with the program's name, for env.json

  // Sets the options: first those of the file, then those of the command line.
  void apply(OptionValues& values) const;
};

// What a run function may want to know about its call beside the options.
struct Invocation {
  const CommandLine& line;
  const OptionValues& values;  // where each value came from
};

struct Command {
  std::string name;
  std::string summary;   // one line for the list of commands
  std::string examples;  // for the help: whole command lines
  const OptionTable* table = nullptr;
  // Reads the options and runs; with --print_config prints them instead. Returns the exit code.
  std::function<int(const CommandLine&)> execute;
};

// Prints every option with its value and where it came from, as a table or (json) as a list of objects.
void print_config(const OptionValues& values, bool json);

// Every option, its value and where it came from, one line each.
std::string config_table(const OptionValues& values);

// Options is the struct of the table.
//   resolve(options, values): rules between options; may be empty.
//   run(options, invocation): does it; returns the exit code.
//   saved(options): the args.json of the run that --resume asks for, or ""; may be empty.
template <class Options>
Command make_command(std::string name, std::string summary, std::string examples, const OptionTable& table,
                     std::function<void(Options&, OptionValues&)> resolve,
                     std::function<int(const Options&, const Invocation&)> run,
                     std::function<std::string(const Options&)> saved = {}) {
  Command command{std::move(name), std::move(summary), std::move(examples), &table, {}};
  command.execute = [&table, resolve, run, saved](const CommandLine& line) {
    Options options;
    OptionValues values(table, &options);
    line.apply(values);
    const std::string saved_path = saved ? saved(options) : std::string{};
    Options before;
    if (!saved_path.empty()) {
      // Once more, on top of what the run was started with.
      OptionValues saved_values(table, &before);
      saved_values.read_json_file(saved_path);
      options = Options{};
      values = OptionValues(table, &options);
      values.read_json_file(saved_path);
      line.apply(values);
    }
    values.check_required();
    if (resolve) resolve(options, values);
    if (!saved_path.empty()) check_resumed(table, &before, &options, saved_path);
    apply_log_options(options);
    if (line.print_config) {
      print_config(values, options.json);
      return 0;
    }
    return run(options, Invocation{line, values});
  };
  return command;
}

}  // namespace pen::cli
