// Which penumbra this is.
#pragma once

namespace pen {

// "0.1.0", from the build files.
const char* version();

}  // namespace pen
