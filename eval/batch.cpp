#include "eval/batch.h"

#include "base/check.h"
#include "base/log.h"
#include "tensor/memory.h"

namespace pen::eval {

void in_fitting_pieces(std::int64_t n, std::int64_t& at_once, Device device,
                       const std::function<void(std::int64_t, std::int64_t)>& body) {
  PEN_CHECK(at_once >= 1, "pieces of ", at_once, " images");
  std::int64_t pieces = (n + at_once - 1) / at_once, first = 0;
  while (first < n) {
    const std::int64_t left = n - first, count = (left + pieces - 1) / pieces;
    try {
      body(first, count);
      first += count;
      --pieces;
    } catch (const OutOfMemory& error) {
      if (count == 1) throw OutOfMemory(error, "; this was one image alone", "a smaller --input_size needs less");
      at_once = count / 2;
      log::warn(str(error.what(), "; going on with ", at_once, at_once == 1 ? " image" : " images", " at once"));
      release_cached_memory(device);
      pieces = (left + at_once - 1) / at_once;
    }
  }
}

}  // namespace pen::eval
