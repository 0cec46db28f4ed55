#include "cli/environment.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "base/json.h"
#include "base/parallel.h"
#include "base/version.h"
#include "cli/versions.h"
#include "kernels/cuda/device.h"
#include "kernels/kernels.h"

namespace pen::cli {
namespace {

// The value after "key:" in a file of such lines; empty if there is none.
std::string line_value(const std::string& path, const std::string& key) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t colon = line.find(':');
    const std::size_t start = colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? std::string{} : line.substr(start);
  }
  return {};
}

std::int64_t kilobytes(const std::string& key) {
  std::int64_t value = 0;
  std::istringstream(line_value("/proc/meminfo", key)) >> value;
  return value * 1024;
}

// A limit or usage of the control group (v2, then v1); `none` where there is no such file or no limit.
std::int64_t group_bytes(const char* v2, const char* v1, std::int64_t none) {
  for (const char* path : {v2, v1}) {
    std::ifstream in(path);
    std::int64_t value = 0;
    if (in >> value) return value;
  }
  return none;
}

std::vector<std::string> cpu_features() {
  static const std::vector<std::string> wanted = {"sse4_2",   "avx",      "avx2",        "fma",         "f16c",
                                                  "avx512f",  "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile",
                                                  "amx_bf16", "asimd",    "sve",         "bf16"};
  std::string flags = line_value("/proc/cpuinfo", "flags");
  if (flags.empty()) flags = line_value("/proc/cpuinfo", "Features");  // ARM
  std::istringstream in(flags);
  const std::vector<std::string> present{std::istream_iterator<std::string>(in), {}};
  std::vector<std::string> found;
  for (const std::string& name : wanted)
    if (std::find(present.begin(), present.end(), name) != present.end()) found.push_back(name);
  return found;
}

std::string gibibytes(std::int64_t bytes) { return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1 << 30)); }

}  // namespace

std::string processor_name() {
  const std::string name = line_value("/proc/cpuinfo", "model name");
  return name.empty() ? "unknown" : name;
}

Environment environment() {
  Environment env;
  env.penumbra = version();
  env.compiler = compiler_version();
  env.build_type = build_type();
  utsname name{};
  if (uname(&name) == 0) env.system = fmt::format("{} {} {}", name.sysname, name.release, name.machine);
  env.processor = processor_name();
  env.cpu_features = cpu_features();
  env.libraries = library_versions();
  env.cuda_built = kernels::cuda::built();
  env.cuda_build = kernels::cuda::build_description();
  const int count = kernels::device::cuda_count();
  for (int i = 0; i < count; ++i) env.gpus.push_back(kernels::device::cuda_description(i));
  std::error_code ignored;
  if (count == 0 && std::filesystem::exists("/proc/driver/nvidia/version", ignored))
    env.gpu_note = env.cuda_built ? "an NVIDIA driver is loaded, but it shows no usable GPU"
                                  : "an NVIDIA driver is loaded, but this build has no CUDA (PENUMBRA_CUDA)";
  env.threads = threads();
  env.cores = available_cores();
  constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
  env.memory_bytes = kilobytes("MemTotal");
  env.memory_available_bytes = kilobytes("MemAvailable");
  const std::int64_t limit =
      group_bytes("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes", none);
  if (limit < env.memory_bytes) {
    const std::int64_t used =
        group_bytes("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes", 0);
    env.memory_bytes = limit;
    env.memory_available_bytes = std::clamp<std::int64_t>(limit - used, 0, env.memory_available_bytes);
  }
  return env;
}

void write_json(JsonWriter& out, const Environment& env) {
  out.begin_object().field("penumbra", env.penumbra).field("compiler", env.compiler);
  out.field("build_type", env.build_type).field("system", env.system).field("processor", env.processor);
  out.field("cpu_features", env.cpu_features).key("libraries").begin_object();
  for (const auto& [name, number] : env.libraries) out.field(name, number);
  out.end_object().field("cuda_built", env.cuda_built).field("cuda_build", env.cuda_build).field("gpus", env.gpus);
  if (!env.gpu_note.empty()) out.field("gpu_note", env.gpu_note);
  out.field("threads", env.threads).field("cores", env.cores);
  out.field("memory_bytes", env.memory_bytes).field("memory_available_bytes", env.memory_available_bytes);
  out.end_object();
}

std::string environment_table(const Environment& env) {
  std::string out;
  const auto row = [&](const std::string& what, const std::string& text) {
    out += fmt::format("{:<14}{}\n", what, text);
  };
  row("penumbra", fmt::format("{} ({}, {})", env.penumbra, env.compiler, env.build_type));
  row("system", env.system);
  row("processor", env.processor);
  row("features", fmt::format("{}", fmt::join(env.cpu_features, " ")));
  row("threads", fmt::format("{} of {} cores", env.threads, env.cores));
  row("memory", fmt::format("{}, {} available", gibibytes(env.memory_bytes), gibibytes(env.memory_available_bytes)));
  for (const auto& [name, number] : env.libraries) row(name, number);
  row("CUDA", env.cuda_built ? env.cuda_build : "not in this build");
  for (const std::string& gpu : env.gpus) row("GPU", gpu);
  if (env.gpus.empty()) row("GPU", env.gpu_note.empty() ? "none found" : env.gpu_note);
  return out;
}

}  // namespace pen::cli
