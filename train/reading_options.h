// How training images are read: options that `train`, `fit-classifier` and `bench loader` share.
#pragma once

#include <memory>
#include <string>

#include "base/options.h"
#include "data/loader.h"

namespace pen {

struct ReadingOptions {
  std::string decode = "exact";
  std::string cache;
  double cache_gib = 32;
};

template <class T>
void add_reading_options(OptionsOf<T>& table) {
  table
      .add("decode", &ReadingOptions::decode,
           "exact: the pixels of Pillow; fast: large JPEGs are decoded at a half, a quarter or an eighth of their size")
      .one_of({"exact", "fast"});
  table
      .add("cache", &ReadingOptions::cache,
           "keep decoded images, shrunk as validation shrinks them, in memory (ram) or in files in a folder; random "
           "crops are then taken from the shrunk images: another protocol (docs/loader.md)")
      .placeholder("ram|FOLDER")
      .or_none();
  table
      .add("cache_gib", &ReadingOptions::cache_gib, "most that --cache may hold, in GiB; the rest is decoded each time")
      .above(0)
      .changes_on_resume();
}

// Sets decode and cache of a loader (null without --cache) for inputs of a size. Loaders of one run share the cache.
void apply(const ReadingOptions& options, int input_size, LoaderOptions& loader);
// --cache_gib without --cache: a usage error.
void resolve_reading_options(const OptionValues& values, const ReadingOptions& options);

}  // namespace pen
