// From the pixels of a file to a network's input: resize, crop, flip, normalise, as torchvision composes them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "data/image.h"
#include "data/normalize.h"
#include "data/pixel_cache.h"
#include "data/resize.h"
#include "tensor/pixels.h"

namespace pen {

// What to do with an image; the result is always size x size.
struct Transform {
  enum class Kind {
    random_crop,   // RandomResizedCrop(size): area min_area..1, log-uniform aspect 3/4..4/3
    shorter_side,  // Resize(resize): the shorter side becomes `resize`; then CenterCrop(size)
    both_sides,    // Resize([resize, resize]); then CenterCrop(size)
  };
  Kind kind = Kind::shorter_side;
  int size = 224;
  int resize = 224;        // not used by random_crop
  double min_area = 0.08;  // of random_crop: its smallest share of the image, in (0, 1]
  bool flip = false;       // horizontal, with probability 0.5
  Normalize normalize;

  static Transform train(int size);
  static Transform val(int size);                      // validation while training: Resize(round(256 size / 224))
  static Transform score(int size, bool break_ratio);  // scoring and sanity checks; break_ratio: both sides
  static Transform wsol(int size);                     // the WSOL benchmark: both sides
};

// Sizes that are not in 1..16384: an Error of kind usage.
void check(const Transform& transform);

// A transform's decisions for one image: crop `crop`, resize it to `resized`, cut size x size pixels from row `top` and
// column `left` of that (outside of it: zeros), mirror if `flip`.
struct Placement {
  Rect crop;
  ImageSize resized;
  int top = 0, left = 0;
  bool flip = false;
};
// The draws are the first from `rng`, at most 64 but for a vanishing chance; kinds that draw nothing leave it alone.
Placement place(const Transform& transform, ImageSize image, Rng& rng);

// Resize(s): the shorter side becomes s, the longer trunc(s * longer / shorter).
ImageSize resized_shorter_side(ImageSize image, int s);
// CenterCrop(s) on an axis of n pixels: round((n - s) / 2), halves to even; negative (zeros are padded) if n < s.
int center_offset(int n, int s);
// RandomResizedCrop's rectangle (torchvision: RandomResizedCrop.get_params): ten tries, then the central fallback.
Rect random_resized_crop(ImageSize image, Rng& rng, double min_area = 0.08);

// How a pipeline comes to the pixels that a transform starts from.
struct PixelSource {
  DecodeLimits limits;
  Decode decode = Decode::exact;
  std::shared_ptr<PixelCache> cache = nullptr;  // for files; null: decode each time. Made with the same `decode`
};

// Reads files and applies transforms with buffers that are kept between calls. One per thread.
class ImagePipeline {
 public:
  explicit ImagePipeline(PixelSource pixels);
  explicit ImagePipeline(DecodeLimits limits = {}) : ImagePipeline(PixelSource{limits, Decode::exact, nullptr}) {}
  // out (size, size, 3) = normalised floats. Unreadable files: Error of kind data that names the file.
  void load(const std::string& path, const Transform& transform, Rng& rng, float* out);
  // The same from a file's bytes, never from the cache; `name` stands in messages.
  void load(std::span<const std::uint8_t> bytes, const std::string& name, const Transform& transform, Rng& rng,
            float* out);
  // The same work left to be done: source pixels and tables, of which made_of_pixels (tensor/pixels.h) makes the bits
  // of load(). What takes more than `part_limit` bytes for each byte of the result is resized here.
  void load_part(const std::string& path, const Transform& transform, Rng& rng, PixelPart& out);
  static constexpr std::size_t part_limit = 8;
  // Without normalisation: the 8-bit pixels (for pictures, and for tests).
  Image load_pixels(std::span<const std::uint8_t> bytes, const std::string& name, const Transform& transform, Rng& rng);
  // How an image's pixels were placed by the last call.
  const Placement& placement() const { return placement_; }

 private:
  // All fill pixels_ (size, size, 3).
  void render(std::span<const std::uint8_t> bytes, const std::string& name, const Transform& transform, Rng& rng);
  void render_cached(const std::string& path, const Transform& transform, Rng& rng);
  void render_placed(ImageSize image, const Transform& transform, const ImageView* whole);
  // Opens the file or finds it in the cache, and places it; `whole` is set in the second case.
  ImageSize open_placed(const std::string& path, const Transform& transform, Rng& rng, ImageView& whole);
  // Sets the tables for `window` of the placed image; returns its source's place in what will be read.
  Rect source_of(ImageSize image, const Rect& window, bool whole);
  // The pixels of `window` of the placed image, from the reader (null `whole`: after open()) or from a whole image.
  void resize_window(ImageSize image, const Rect& window, const ImageView* whole, std::uint8_t* out);
  // The image as the cache keeps it.
  ImageView shrunk(const std::string& path);
  void write_out(const Transform& transform, float* out);

  PixelSource from_;
  ImageReader reader_;
  Resizer resizer_;
  Placement placement_;
  std::vector<std::uint8_t> bytes_, pixels_, window_, shrunk_;
  Normalizer normalizer_;
};

}  // namespace pen
