// penumbra doctor: what this machine and this build offer.
#include <cstdio>

#include "base/json.h"
#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/environment.h"

namespace pen::cli {
namespace {

struct Options : LogOptions {
  std::int64_t threads = 0;
};

const OptionTable& table() {
  static const OptionTable built = [] {
    OptionsOf<Options> t;
    t.group("Device");
    t.add("threads", &Options::threads, "CPU threads; 0: all cores this process may use").between(0, 4096);
    add_log_options(t, "the same as JSON");
    return OptionTable(t);
  }();
  return built;
}

int run(const Options& options, const Invocation&) {
  set_threads(static_cast<int>(options.threads));
  const Environment env = environment();
  if (!options.json) {
    std::fputs(environment_table(env).c_str(), stdout);
    return 0;
  }
  JsonWriter out(true);
  write_json(out, env);
  std::puts(out.text().c_str());
  return 0;
}

}  // namespace

Command doctor_command() {
  return make_command<Options>("doctor", "show processor, libraries, GPUs, threads and memory",
                               "  penumbra doctor --json\n", table(), {}, run);
}

}  // namespace pen::cli
