// What people read about commands and options: --help, docs/options.md, --print_config.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace pen::cli {

// The list of commands.
std::string program_help(const std::vector<Command>& commands);
// One command: usage, options by group with their defaults, examples. Lines fit `columns`.
std::string command_help(const Command& command, int columns = 100);
// docs/options.md: every option of every command.
std::string markdown(const std::vector<Command>& commands);
// The same facts for programs.
std::string options_json(const std::vector<Command>& commands);

}  // namespace pen::cli
