#include "data/load_benchmark.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/file.h"
#include "base/parallel.h"

namespace pen {
namespace {

// The first images of a source.
class Head : public SampleSource {
 public:
  Head(const SampleSource& source, std::int64_t count) : source_(source), count_(count) {}
  std::int64_t size() const override { return count_; }
  std::string path(std::int64_t i) const override { return source_.path(i); }
  std::int64_t label(std::int64_t i) const override { return source_.label(i); }

 private:
  const SampleSource& source_;
  std::int64_t count_;
};

double pass(Loader& loader, std::int64_t epoch) {
  const auto start = std::chrono::steady_clock::now();
  std::int64_t images = 0;
  loader.start_epoch(epoch);
  while (const BatchPtr batch = loader.next()) images += batch->size;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return static_cast<double>(images) / elapsed.count();
}

}  // namespace

LoadBenchmark benchmark_loading(const SampleSource& source, const LoadBenchmarkOptions& options) {
  PEN_CHECK_AS(usage, options.repeats >= 1 && options.images >= 0 && options.workers >= 0,
               "bench loader: repeats must be positive, images and workers not negative");
  LoadBenchmark result;
  result.workers = options.workers ? options.workers : threads();
  result.images = options.images ? std::min<std::int64_t>(options.images, source.size()) : source.size();
  PEN_CHECK_AS(data, result.images > 0, "bench loader: there are no images to load");
  const Head head(source, result.images);

  const std::int64_t sampled = std::min<std::int64_t>(result.images, 200);
  ImageReader reader;
  for (std::int64_t i = 0; i < sampled; ++i) {
    const std::string path = head.path(i);
    const std::vector<std::uint8_t> bytes = read_file(path, DecodeLimits{}.max_bytes);
    const ImageSize size = reader.open(bytes, path);
    result.mean_file_bytes += static_cast<double>(bytes.size()) / static_cast<double>(sampled);
    result.mean_pixels += static_cast<double>(size.height) * size.width / static_cast<double>(sampled);
  }

  Loader loader(head, options.transform,
                {.batch_size = options.batch_size,
                 .workers = result.workers,
                 .prefetch = 4,
                 .shuffle = true,
                 .drop_last = false,
                 .seed = options.seed,
                 .bad_files = BadFiles::fail,
                 .max_bad_share = 0,
                 .limits = {},
                 .decode = options.decode,
                 .cache = options.cache});
  pass(loader, 0);
  for (int i = 1; i <= options.repeats; ++i) result.crops_per_s.push_back(pass(loader, i));
  std::vector<double> sorted = result.crops_per_s;
  std::sort(sorted.begin(), sorted.end());
  const std::size_t n = sorted.size();
  result.median_crops_per_s = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
  result.min_crops_per_s = sorted.front();
  result.max_crops_per_s = sorted.back();
  return result;
}

}  // namespace pen
