#include "train/reading_options.h"

#include <algorithm>
#include <cmath>

#include "base/option_rules.h"

namespace pen {

void apply(const ReadingOptions& options, int input_size, LoaderOptions& loader) {
  loader.decode = options.decode == "fast" ? Decode::fast : Decode::exact;
  if (options.cache.empty()) return;
  PixelCacheOptions cache;
  cache.where = options.cache;
  cache.edge = Transform::val(input_size).resize;
  cache.max_bytes = static_cast<std::uint64_t>(std::ceil(std::min(options.cache_gib, 1e9) * 1073741824.0));
  cache.decode = loader.decode;
  loader.cache = std::make_shared<PixelCache>(cache);
}

void resolve_reading_options(const OptionValues& values, const ReadingOptions& options) {
  rules::check_effect(values, !options.cache.empty(), {"cache_gib"}, "there is no --cache");
}

}  // namespace pen
