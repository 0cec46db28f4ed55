// PEN_SKIP("needs a GPU") leaves a test case, visibly: it is counted as skipped, never as passed.
#pragma once
#include <string>

namespace pen::test {
bool note_skip(const std::string& why);
}
#define PEN_SKIP(why)            \
  do {                           \
    ::pen::test::note_skip(why); \
    return;                      \
  } while (false)
