// Shell completion scripts, made from the commands' tables.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace pen::cli {

// shell: bash, zsh or fish. The script completes commands, option names, the values of options with choices, and files.
std::string completion_script(const std::string& shell, const std::vector<Command>& commands);

}  // namespace pen::cli
