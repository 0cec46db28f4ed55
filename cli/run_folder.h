// The folder of one run: <output_path>/<name>/ with args.json (the effective options) and env.json (what it ran on).
#pragma once

#include <string>

#include "cli/command.h"

namespace pen::cli {

// "random" as a name stands for one made of the date and time, so that no two runs meet.
std::string run_name(const std::string& name);

// Makes the folder and writes both files. A folder that is there already belongs to another run: a usage error that
// says so, unless it holds nothing but what is written before the first step. With `resume` it has to be there (a
// checkpoint error otherwise), and both files are replaced. device: what the run computes on, in words. Returns the
// folder's path.
std::string open_run_folder(const std::string& output_path, const std::string& name, bool resume,
                            const OptionValues& values, const CommandLine& line, const std::string& device);

// The args.json of the run that --resume names, for make_command's `saved`; "" without --resume. No such run: a
// checkpoint error.
std::string saved_options(const std::string& output_path, const std::string& name, bool resume);

}  // namespace pen::cli
