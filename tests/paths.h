#pragma once
// Where the tests find things: one compiled place, so that no other file depends on the folder it was built in.
#include <string>

namespace pen::test {

/// The folder tests/ of the source tree.
std::string tests_folder();

/// The program `penumbra` of this build.
std::string program_path();

}  // namespace pen::test
