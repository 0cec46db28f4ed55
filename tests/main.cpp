// The tests' main program: doctest, plus skips that are counted and shown.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <string>

#include "tests/skip.h"

// Sanitizers end a program that asks for too much memory, unless they are told to refuse as the system does.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace pen::test {
namespace {
int skipped = 0, chosen = 0;
bool strict() {
  const char* set = std::getenv("PENUMBRA_NO_SKIPS");
  return set && std::string(set) == "1";
}
}  // namespace
// PENUMBRA_NO_SKIPS=1 turns every skip into a failure (used on machines that have all that tests can need).
bool note_skip(const std::string& why) {
  if (strict()) {
    FAIL_CHECK("skipped although PENUMBRA_NO_SKIPS=1: " << why);
    return true;
  }
  ++skipped;
  std::printf("SKIPPED: %s\n", why.c_str());
  return true;
}

// Counts cases, and prints the line that scripts/test adds up.
struct Counter : doctest::IReporter {
  explicit Counter(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats& stats) override {
    const int failed = static_cast<int>(stats.numTestCasesFailed);
    const int ran = static_cast<int>(stats.numTestCasesPassingFilters);
    chosen = ran;
    std::printf("cases: %d passed, %d failed, %d skipped\n", ran - failed - skipped, failed, skipped);
    std::fflush(stdout);
  }
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
DOCTEST_REGISTER_LISTENER("counter", 1, Counter);
}  // namespace pen::test

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  const int code = context.run();
  if (code != 0 || context.shouldExit() || !pen::test::strict() || pen::test::chosen > 0) return code;
  std::printf("no test case has such a name, and PENUMBRA_NO_SKIPS=1\n");
  return 1;
}
