// How fast training images come from the disk: the measurement behind `bench loader`.
#pragma once

#include <vector>

#include "data/loader.h"

namespace pen {

struct LoadBenchmarkOptions {
  int workers = 0;  // threads; 0: one for each core that this process may use
  int batch_size = 32;
  Transform transform = Transform::train(224);
  int repeats = 5;          // timed passes over the images, after one that warms caches up
  std::int64_t images = 0;  // of each pass; 0: all of the source
  std::uint64_t seed = 1;
  Decode decode = Decode::exact;
  std::shared_ptr<PixelCache> cache = nullptr;  // filled by the pass that warms up
};

struct LoadBenchmark {
  int workers = 0;
  std::int64_t images = 0;          // of each pass
  std::vector<double> crops_per_s;  // of each pass: reading, decoding and the transform
  double median_crops_per_s = 0, min_crops_per_s = 0, max_crops_per_s = 0;
  double mean_file_bytes = 0, mean_pixels = 0;  // of the files that were read: what the figure is about
};

// An unreadable file is an Error of kind data, as is a source without images.
LoadBenchmark benchmark_loading(const SampleSource& source, const LoadBenchmarkOptions& options);

}  // namespace pen
