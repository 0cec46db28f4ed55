#include "base/clock_speed.h"
#include "base/parallel.h"
#include "base/version.h"
#include "cli/bench.h"
#include "cli/compute.h"
#include "cli/versions.h"

namespace pen::cli {

void write_machine(JsonWriter& json, Device device) {
  json.field("device", describe(device)).field("threads", threads()).field("cpu_clock_ghz", measured_clock_ghz());
  json.key("versions").begin_object().field("penumbra", version()).field("compiler", compiler_version());
  for (const auto& [name, number] : library_versions()) json.field(name, number);
  json.end_object();
}

}  // namespace pen::cli
