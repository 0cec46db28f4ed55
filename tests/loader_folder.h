// A folder of small images and whole epochs of it, for tests of the loader.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "data/loader.h"
#include "tests/scratch.h"

namespace pen::test {

// Small images on disk, each of its own colours and size; some paths may be replaced by bad ones.
class Folder : public SampleSource {
 public:
  explicit Folder(int count) {
    for (int i = 0; i < count; ++i) {
      const int width = 9 + i % 5, height = 8 + i % 3;
      std::string pixels;
      for (int k = 0; k < width * height * 3; ++k) pixels += static_cast<char>(k * 7 + i * 31);
      paths.push_back(folder_ / ("image" + std::to_string(i) + ".ppm"));
      put(paths.back(), "P6 " + std::to_string(width) + " " + std::to_string(height) + " 255\n" + pixels);
    }
  }
  void spoil(std::initializer_list<int> which) {
    for (const int i : which) put(paths[static_cast<std::size_t>(i)], "P6 9 9 255\nshort");
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(paths.size()); }
  std::string path(std::int64_t i) const override { return paths[static_cast<std::size_t>(i)]; }
  std::int64_t label(std::int64_t i) const override { return 100 + i; }
  std::vector<std::string> paths;

 private:
  ScratchFolder folder_;
};

inline LoaderOptions options(int batch_size, int workers, std::uint64_t seed = 5) {
  LoaderOptions o;
  o.batch_size = batch_size;
  o.workers = workers;
  o.prefetch = 3;
  o.shuffle = true;
  o.seed = seed;
  return o;
}

struct Epoch {
  std::vector<std::int64_t> indices, labels, sizes, ends;
  std::vector<std::string> paths;
  std::vector<float> images;
};

inline void add(const Batch& b, Epoch& e) {
  e.sizes.push_back(b.size);
  e.ends.push_back(b.end);
  e.indices.insert(e.indices.end(), b.indices.begin(), b.indices.end());
  e.labels.insert(e.labels.end(), b.labels.begin(), b.labels.end());
  e.paths.insert(e.paths.end(), b.paths.begin(), b.paths.end());
  e.images.insert(e.images.end(), b.images.begin(), b.images.begin() + b.size * b.side * b.side * 3);
}

inline Epoch run(Loader& loader, std::int64_t epoch, std::int64_t start = 0) {
  Epoch e;
  loader.start_epoch(epoch, start);
  while (const BatchPtr b = loader.next()) add(*b, e);
  CHECK(loader.next() == nullptr);  // the end stays the end
  return e;
}

inline void check_same(const Epoch& a, const Epoch& b) {
  CHECK(a.indices == b.indices);
  CHECK(a.labels == b.labels);
  CHECK(a.paths == b.paths);
  CHECK(a.sizes == b.sizes);
  CHECK(a.ends == b.ends);
  CHECK(a.images == b.images);
}

}  // namespace pen::test
