// bench loader: training images from the disk.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "cli/bench.h"
#include "data/load_benchmark.h"
#include "data/metadata.h"
#include "data/prepare.h"

namespace pen::cli {
namespace {

Transform transform_of(const BenchOptions& options) {
  const int size = static_cast<int>(options.input_size);
  if (options.transform == "val") return Transform::val(size);
  if (options.transform == "score") return Transform::score(size, false);
  return Transform::train(size);
}

}  // namespace

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
  LoaderOptions reading;
  apply(options, static_cast<int>(options.input_size), reading);
  how.decode = reading.decode;
  how.cache = reading.cache;
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
  json.field("decode", options.decode).field("cache", options.cache);
  json.field("mean_pixels", result.mean_pixels).field("images_per_s", result.median_crops_per_s);
  json.field("median_s", static_cast<double>(result.images) / result.median_crops_per_s);
  json.field("min_images_per_s", result.min_crops_per_s).field("max_images_per_s", result.max_crops_per_s);
  json.field("passes", result.crops_per_s).field("seed", options.seed);
  write_machine(json, Device{});
  json.end_object();
  std::puts(json.text().c_str());
}

}  // namespace pen::cli
