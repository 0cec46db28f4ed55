// bench memory: what steps need, by batch size.
#include <fmt/format.h>

#include <cstdio>

#include "cli/bench.h"
#include "cli/compute.h"
#include "train/bench_memory.h"

namespace pen::cli {

void bench_memory(const BenchOptions& options, Device device) {
  const MemoryBenchmark result = benchmark_memory(options, device);
  if (!options.json) {
    std::string text =
        fmt::format("{} (width {}), {}x{}, {}, on {}\n{:<6} {:>6} {:>14} {:>14}\n", options.arch, options.width,
                    options.input_size, options.input_size, options.precision, describe(device), "step", "batch",
                    "tensors, GiB", device.is_cuda() ? "device, GiB" : "process, GiB");
    for (const MemoryBenchmark::Row& r : result.rows)
      text += fmt::format("{:<6} {:>6} {:>14.3f} {:>14.3f}\n", r.mode, r.batch,
                          static_cast<double>(r.peak_tensor_bytes) / gibibyte,
                          static_cast<double>(r.peak_bytes) / gibibyte);
    for (const MemoryBenchmark::Mode& m : result.modes)
      text += fmt::format("{}: {:.1f} MiB of tensors for each image, {:.1f} MiB beside them\n", m.mode,
                          m.bytes_per_image / 1048576, m.fixed_bytes / 1048576);
    std::fputs(text.c_str(), stdout);
    return;
  }
  JsonWriter json;
  json.begin_object().field("bench", "memory").field("arch", options.arch).field("width", options.width);
  json.field("input_size", options.input_size).field("classes", options.classes).field("fuse", options.fuse);
  json.field("masker_use_layers", options.masker_use_layers).field("precision", options.precision);
  json.key("rows").begin_array();
  for (const MemoryBenchmark::Row& r : result.rows)
    json.begin_object()
        .field("mode", r.mode)
        .field("batch", r.batch)
        .field("peak_tensor_bytes", r.peak_tensor_bytes)
        .field("peak_bytes", r.peak_bytes)
        .end_object();
  json.end_array().key("modes").begin_object();
  for (const MemoryBenchmark::Mode& m : result.modes)
    json.key(m.mode)
        .begin_object()
        .field("bytes_per_image", m.bytes_per_image)
        .field("fixed_bytes", m.fixed_bytes)
        .end_object();
  json.end_object();
  json.field("peak_bytes_is",
             device.is_cuda() ? "tensors on the device" : "resident memory of the process during the steps");
  write_machine(json, device);
  json.end_object();
  std::puts(json.text().c_str());
}

}  // namespace pen::cli
