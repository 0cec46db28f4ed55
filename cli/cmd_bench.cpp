// penumbra bench: how fast a step and the image loader are on this machine.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "base/json.h"
#include "base/parallel.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/compute.h"
#include "cli/versions.h"
#include "data/load_benchmark.h"
#include "data/metadata.h"
#include "data/prepare.h"
#include "train/bench_options.h"
#include "train/bench_step.h"

namespace pen::cli {
namespace {

constexpr double gibibyte = 1073741824.0;

void write_machine(JsonWriter& json, Device device) {
  json.field("device", describe(device)).field("threads", threads());
  json.key("versions").begin_object().field("penumbra", version()).field("compiler", compiler_version());
  for (const auto& [name, number] : library_versions()) json.field(name, number);
  json.end_object();
}

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
    std::fputs(text.c_str(), stdout);
    return;
  }
  JsonWriter json;
  json.begin_object().field("bench", "step").field("mode", options.mode).field("arch", options.arch);
  json.field("width", options.width).field("input_size", options.input_size).field("classes", options.classes);
  json.field("masker_use_layers", options.masker_use_layers).field("batch", options.batch_size);
  json.field("fuse", options.fuse)
      .field("precision", options.precision)
      .field("steps", options.steps)
      .field("warmup", options.warmup);
  json.field("images_per_s", result.images_per_s).field("median_s", result.median_s);
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
  json.field("peak_bytes_is", device.is_cuda() ? "tensors on the device" : "resident memory of the process");
  json.field("peak_tensor_bytes", result.peak_tensor_bytes);
  json.field("parameters_classifier", result.parameters_classifier);
  json.field("parameters_masker", result.parameters_masker).field("seed", options.seed);
  write_machine(json, device);
  json.end_object();
  std::puts(json.text().c_str());
}

Transform transform_of(const BenchOptions& options) {
  const int size = static_cast<int>(options.input_size);
  if (options.transform == "val") return Transform::val(size);
  if (options.transform == "score") return Transform::score(size, false);
  return Transform::train(size);
}

void bench_loader(const BenchOptions& options) {
  const Metadata images =
      std::filesystem::is_directory(options.path) ? scan_images(options.path) : Metadata::read(options.path);
  LoadBenchmarkOptions how;
  how.workers = static_cast<int>(options.workers);
  how.batch_size = static_cast<int>(options.batch_size);
  how.transform = transform_of(options);
  how.repeats = static_cast<int>(options.steps);
  how.images = options.limit;
  how.seed = static_cast<std::uint64_t>(options.seed);
  const LoadBenchmark result = benchmark_loading(images, how);
  if (!options.json) {
    fmt::print(
        "{} images, {:.0f} bytes and {:.0f} pixels each on average, to {}x{} ({})\n"
        "  {:.0f} crops/s with {} worker threads, {:.0f} to {:.0f} over {} passes\n",
        result.images, result.mean_file_bytes, result.mean_pixels, options.input_size, options.input_size,
        options.transform, result.median_crops_per_s, result.workers, result.min_crops_per_s, result.max_crops_per_s,
        result.crops_per_s.size());
    return;
  }
  JsonWriter json;
  json.begin_object().field("bench", "loader").field("path", options.path).field("transform", options.transform);
  json.field("input_size", options.input_size).field("batch", options.batch_size).field("workers", result.workers);
  json.field("images", result.images).field("mean_file_bytes", result.mean_file_bytes);
  json.field("mean_pixels", result.mean_pixels).field("images_per_s", result.median_crops_per_s);
  json.field("median_s", static_cast<double>(result.images) / result.median_crops_per_s);
  json.field("min_images_per_s", result.min_crops_per_s).field("max_images_per_s", result.max_crops_per_s);
  json.field("passes", result.crops_per_s).field("seed", options.seed);
  write_machine(json, Device{});
  json.end_object();
  std::puts(json.text().c_str());
}

int run(const BenchOptions& options, const Invocation&) {
  const Device device = open_device(options);
  if (options.what == "loader")
    bench_loader(options);
  else
    bench_step(options, device);
  return 0;
}

}  // namespace

Command bench_command() {
  return make_command<BenchOptions>(
      "bench", "measure a training step, inference, or the image loader on this machine",
      "  penumbra bench step --mode fix --arch resnet50 --batch 8 --device cpu --steps 5 --json\n"
      "  penumbra bench loader metadata/train.json --workers 2 --limit 2000 --batch 32\n",
      bench_options(), [](BenchOptions& options, OptionValues& values) { resolve(options, values); }, run);
}

}  // namespace pen::cli
