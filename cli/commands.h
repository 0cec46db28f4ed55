// The list of all subcommands, each in its own file cmd_<name>.cpp.
#pragma once

#include <vector>

#include "cli/command.h"

namespace pen::cli {

// In the order of the help. A command is listed when it works.
const std::vector<Command>& commands();

Command prepare_command();
Command sample_command();
Command fit_classifier_command();
Command train_command();
Command score_command();
Command wsol_command();
Command evaluate_command();
Command compare_command();
Command explain_command();
Command sanity_command();
Command attribute_command();
Command ckpt_command();
Command report_command();
Command bench_command();
Command doctor_command();
Command options_command();
Command completion_command();

}  // namespace pen::cli
