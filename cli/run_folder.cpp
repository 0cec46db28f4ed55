#include "cli/run_folder.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "cli/environment.h"

namespace pen::cli {
namespace {

namespace fs = std::filesystem;

std::string env_json(const CommandLine& line, const std::string& device) {
  JsonWriter out(true);
  out.begin_object().field("started", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))));
  out.field("command_line", line.arguments).field("device", device);
  out.key("environment");
  write_json(out, environment());
  out.end_object();
  return out.text() + "\n";
}

// A run that stopped before its first step (a missing image list, say) leaves a folder with nothing in it to lose.
bool never_ran(const std::string& folder) {
  static const std::set<std::string> written_before = {"args.json", "env.json", "log.txt"};
  std::error_code trouble;
  for (const auto& entry : fs::directory_iterator(folder, trouble))
    if (!written_before.contains(entry.path().filename().string())) return false;
  return !trouble;
}

}  // namespace

std::string run_name(const std::string& name) {
  if (name != "random") return name;
  const auto now = std::chrono::system_clock::now();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count() % 1000000;
  return fmt::format("run-{:%Y%m%d-%H%M%S}-{:06}", fmt::gmtime(std::chrono::system_clock::to_time_t(now)), micros);
}

std::string open_run_folder(const std::string& output_path, const std::string& name, bool resume,
                            const OptionValues& values, const CommandLine& line, const std::string& device) {
  const std::string folder = (fs::path(output_path) / name).string();
  std::error_code trouble;
  if (resume) {
    PEN_CHECK_AS(checkpoint, fs::is_directory(folder, trouble), "--resume: there is no run '", folder, "'");
  } else if (fs::exists(folder, trouble) && !never_ran(folder)) {
    fail(ErrorKind::usage, str("'", folder, "' is there already and is not overwritten"),
         "--resume goes on with that run, another --name starts a new one");
  }
  make_folders(folder);
  write_file((fs::path(folder) / "args.json").string(), to_json(values.table(), values.object()) + "\n");
  write_file((fs::path(folder) / "env.json").string(), env_json(line, device));
  return folder;
}

std::string saved_options(const std::string& output_path, const std::string& name, bool resume) {
  if (!resume) return {};
  PEN_CHECK_AS(usage, !output_path.empty() && name != "random",
               "--resume needs the --output_path and the --name of the run that goes on");
  const std::string path = (fs::path(output_path) / name / "args.json").string();
  std::error_code trouble;
  PEN_CHECK_AS(checkpoint, fs::exists(path, trouble), "--resume: there is no run '",
               (fs::path(output_path) / name).string(), "' (no args.json in it)");
  return path;
}

}  // namespace pen::cli
