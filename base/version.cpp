#include "base/version.h"

namespace pen {

const char* version() { return PENUMBRA_VERSION; }

}  // namespace pen
