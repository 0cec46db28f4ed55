#include "base/check.h"

namespace pen {

void fail(ErrorKind kind, const std::string& message, const std::string& hint) { throw Error(kind, message, hint); }

}  // namespace pen
