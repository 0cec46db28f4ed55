// Reading image files: the pixels of Pillow's Image.open(...).convert("RGB"), from the formats that image folders hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace pen {

// Bounds that are checked before memory is taken.
struct DecodeLimits {
  std::int64_t max_pixels = 178956970;               // where Pillow refuses a "decompression bomb"
  std::uint64_t max_bytes = std::uint64_t{1} << 30;  // of a file
};

// exact: Pillow's pixels. fast: JPEGs that are shrunk to less than half are decoded at a half, a quarter or an eighth
// of their size (by a smaller inverse DCT), and resized from there. Not the same pixels; close, because the smaller DCT
// is itself a filter. For other formats both are the same.
enum class Decode { exact, fast };

struct ImageSize {
  int height = 0, width = 0;
};

// Rows [top, top + height) and columns [left, left + width) of an image.
struct Rect {
  int top = 0, left = 0, height = 0, width = 0;
  bool operator==(const Rect&) const = default;
};

// An image of its own: (height, width, 3), 8 bits, red first.
struct Image {
  int height = 0, width = 0;
  std::vector<std::uint8_t> rgb;
};

// Somebody else's pixels: row y starts at data + y * stride, 3 bytes a pixel.
struct ImageView {
  const std::uint8_t* data = nullptr;
  int height = 0, width = 0;
  std::ptrdiff_t stride = 0;
  ImageView() = default;
  ImageView(const std::uint8_t* rgb, int h, int w, std::ptrdiff_t bytes_per_row)
      : data(rgb), height(h), width(w), stride(bytes_per_row) {}
  ImageView(const Image& image)  // NOLINT: an image is a view of itself
      : ImageView(image.rgb.data(), image.height, image.width, std::ptrdiff_t{3} * image.width) {}
  // The part inside `r`, which lies inside this view.
  ImageView part(const Rect& r) const {
    return {data + r.top * stride + std::ptrdiff_t{3} * r.left, r.height, r.width, stride};
  }
};

enum class ImageFormat { jpeg, png, webp, tiff, bmp, pnm, gif, unknown };
// By content; a file's name says nothing (ImageNet has a PNG named .JPEG).
ImageFormat image_format(std::span<const std::uint8_t> bytes);

// Decodes whole files or parts of them, again and again with the same buffers. One per thread.
//   reader.open(bytes, name); reader.read({top, left, height, width});
// Every refusal (empty, no image, truncated, corrupt, too large, a variant that is not supported) is an Error of kind
// data: `cannot decode 'NAME': REASON`. After an error the reader can be used for the next file.
class ImageReader {
 public:
  explicit ImageReader(DecodeLimits limits = {});
  ~ImageReader();
  ImageReader(ImageReader&&) noexcept;
  ImageReader& operator=(ImageReader&&) noexcept;

  // Recognises the format and reads the header (formats other than JPEG are decoded here). `bytes` must stay in place
  // until the last read().
  ImageSize open(std::span<const std::uint8_t> bytes, const std::string& name);
  // After open() of a JPEG, before read(): decode at 1/factor of the size (factor 2, 4 or 8). Returns the new size,
  // sides rounded up. Other formats stay as they are.
  ImageSize shrink(int factor);
  // The pixels inside `part` (not empty, inside the image), equal to those of a full decode; once per open(). The view
  // lives until the next call. Of a JPEG only the rows and columns needed are reconstructed.
  ImageView read(const Rect& part);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The whole image. `name` stands in messages.
Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name, const DecodeLimits& limits = {});
Image read_image(const std::string& path, const DecodeLimits& limits = {});

}  // namespace pen
