#include "tests/paths.h"

namespace pen::test {

std::string tests_folder() { return PENUMBRA_TESTS_DIR; }
std::string program_path() { return PENUMBRA_BINARY; }

}  // namespace pen::test
