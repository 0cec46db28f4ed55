// What the program runs on and was built with: doctor's table and the env.json of a run.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pen {
class JsonWriter;
}

namespace pen::cli {

struct Environment {
  std::string penumbra, compiler, build_type;
  std::string system, processor;
  std::vector<std::string> cpu_features;                       // those that our kernels and oneDNN look for
  std::vector<std::pair<std::string, std::string>> libraries;  // name and version in use
  bool cuda_built = false;
  std::string cuda_build;         // versions and architectures; empty without CUDA
  std::vector<std::string> gpus;  // usable by this build: name, memory, compute capability
  std::string gpu_note;           // why there are none, though the machine seems to have some; else empty
  std::int64_t threads = 0;       // that computations use
  std::int64_t cores = 0;         // that this process may run on
  std::int64_t memory_bytes = 0, memory_available_bytes = 0;  // of the machine, or of the control group if that is less
};

Environment environment();
std::string processor_name();  // "AMD EPYC"; "unknown" where the system does not say

void write_json(JsonWriter& out, const Environment& env);  // one object
std::string environment_table(const Environment& env);

}  // namespace pen::cli
