// From the words of a command line to options, on CLI11.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace pen::cli {

// Names of the options that every command has beside its table.
const std::vector<std::string>& program_options();

// `words` are those after the command's name. Dashes and underscores in option names are alike; a switch may stand
// alone or take true or false. Unknown options (with the nearest known one), missing values and words too many are
// usage errors.
CommandLine parse(const OptionTable& table, const std::vector<std::string>& words);

}  // namespace pen::cli
