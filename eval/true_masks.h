// True pixel masks of images, placed as the images are.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "data/transforms.h"

namespace pen::eval {

// Masks lie in one folder as PNG files, each named by image_key() of its image, directly or in a folder of the name of
// the image's own: <folder>/<class>/<key>.png (as `sample` writes them) or <folder>/<key>.png. The object is where a
// mask is 128 or more.
class TrueMasks {
 public:
  TrueMasks(std::string folder, const Transform& transform);
  // out (size, size): 1 on the object, else 0, resized by nearest neighbour (the pixel that holds the centre, as
  // Pillow's) and cut as the transform treats the image. Data errors that name the file: a mask that is missing,
  // unreadable, of another size than its image, or empty after the cut.
  void load(const std::string& image, std::span<std::uint8_t> out) const;
  std::string file_of(const std::string& image) const;

 private:
  std::string folder_;
  Transform transform_;
};

}  // namespace pen::eval
