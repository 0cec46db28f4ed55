// Versions of what the program was built with and runs on.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace pen::cli {

// The libraries in use: asked at run time where they can be, otherwise those of the headers.
std::vector<std::pair<std::string, std::string>> library_versions();
std::string compiler_version();
std::string build_type();

}  // namespace pen::cli
