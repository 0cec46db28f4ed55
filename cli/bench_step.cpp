// bench step: a training step, or inference with a masker.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "cli/bench.h"
#include "cli/compute.h"
#include "train/bench_step.h"

namespace pen::cli {

void bench_step(const BenchOptions& options, Device device) {
  const StepBenchmark result = benchmark_step(options, device);
  const bool ca = options.mode == "ca";
  if (!options.json) {
    std::string text =
        fmt::format("{} {} (width {}), {}x{}, batch {}, {}, on {}\n", options.mode, options.arch, options.width,
                    options.input_size, options.input_size, options.batch_size, options.precision, describe(device));
    for (const StepBenchmark::Kind& kind : result.kinds)
      text += fmt::format("  {:<8} median {:.3f} s, {:.3f} to {:.3f} s over {} steps\n", kind.name, kind.median_s,
                          kind.min_s, kind.max_s, kind.seconds.size());
    text +=
        fmt::format("  {:.2f} img/s{}, peak memory {:.2f} GiB (tensors {:.2f} GiB)\n", result.images_per_s,
                    ca ? " over as many update as skip steps" : "", static_cast<double>(result.peak_bytes) / gibibyte,
                    static_cast<double>(result.peak_tensor_bytes) / gibibyte);
    if (result.overlapped_images_per_s > 0)
      text += fmt::format("  {:.2f} img/s where the next step is queued before the last one's figures are read\n",
                          result.overlapped_images_per_s);
    if (options.cuda_graph)
      text += fmt::format("  {} CUDA graphs of {} nodes on average, {} instantiated\n", result.recorded.graphs,
                          result.recorded.nodes / std::max<std::int64_t>(result.recorded.graphs, 1),
                          result.recorded.instantiated);
    std::fputs(text.c_str(), stdout);
    return;
  }
  JsonWriter json;
  json.begin_object().field("bench", "step").field("mode", options.mode).field("arch", options.arch);
  json.field("width", options.width).field("input_size", options.input_size).field("classes", options.classes);
  json.field("masker_use_layers", options.masker_use_layers).field("batch", options.batch_size);
  json.field("fuse", options.fuse)
      .field("clean_ahead", result.clean_ahead)
      .field("precision", options.precision)
      .field("float32_products", kernels::name_of(compute_policy().math))
      .field("steps", options.steps)
      .field("warmup", options.warmup);
  json.field("images_per_s", result.images_per_s).field("median_s", result.median_s);
  if (result.overlapped_images_per_s > 0) json.field("overlapped_images_per_s", result.overlapped_images_per_s);
  if (options.cuda_graph) {
    json.key("cuda_graph").begin_object().field("graphs", result.recorded.graphs);
    json.field("nodes", result.recorded.nodes).field("instantiated", result.recorded.instantiated).end_object();
  }
  if (ca)
    json.field("median_s_is",
               "mean of the medians of update and skip steps, which prob_historic 0.5 makes equally "
               "frequent");
  json.key("kinds").begin_object();
  for (const StepBenchmark::Kind& kind : result.kinds) {
    json.key(kind.name).begin_object().field("median_s", kind.median_s).field("min_s", kind.min_s);
    json.field("max_s", kind.max_s).field("seconds", kind.seconds).end_object();
  }
  json.end_object();
  json.field("peak_bytes", result.peak_bytes);
  json.field("peak_bytes_is",
             device.is_cuda() ? "tensors on the device" : "resident memory of the process during the steps");
  json.field("peak_tensor_bytes", result.peak_tensor_bytes);
  json.field("labels", result.labels);
  json.field("parameters_classifier", result.parameters_classifier);
  json.field("parameters_masker", result.parameters_masker).field("seed", options.seed);
  write_machine(json, device);
  json.end_object();
  std::puts(json.text().c_str());
}

}  // namespace pen::cli
