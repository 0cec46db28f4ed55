// Bounding boxes of PASCAL-VOC XML files, and their place in the resized and cropped image.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/boxes.h"

namespace pen {

// What an annotation file says about one image: its size in pixels and the boxes of the objects of its class.
struct Annotation {
  std::int64_t width = 0, height = 0;
  std::vector<Box> boxes;  // at least one
};

// Reads `size/width`, `size/height` and, for each `object` whose `name` is the class, `bndbox/xmin|ymin|xmax|ymax`.
// One reader reads many files: its buffer is kept.
class AnnotationReader {
 public:
  // `image` is named in errors (kind `data`), beside the file: missing or malformed XML (byte), a size that
  // is missing, 0 or over 65535, a number that is no integer, no object of the class, a box outside of the image or
  // with its corners exchanged (0 <= xmin <= xmax <= width must hold, and the same for y).
  Annotation read(const std::string& file, const std::string& class_name, const std::string& image);
  // The same from bytes; `file` stands in messages.
  Annotation parse(std::span<const std::uint8_t> xml, const std::string& file, const std::string& class_name,
                   const std::string& image);

 private:
  Annotation parse_buffer(const std::string& file, const std::string& class_name, const std::string& image);
  std::vector<std::uint8_t> buffer_;  // parsed in place
};

// A box of a width x height image, in the frame x frame image that Resize(frame) and CenterCrop(frame) make of it: with
// the shorter side s, the ratio r = frame/s and the cut c = (longer*r - frame)/2 on the longer axis, each coordinate v
// becomes trunc(r*v - c), not clipped. With break_ratio (Resize([frame, frame])) each axis has its own ratio and no
// cut.
Box box_in_frame(const Box& box, std::int64_t width, std::int64_t height, std::int64_t frame, bool break_ratio = false);

// The text of an annotation file with one object per box, as `sample` writes it.
std::string voc_xml(const std::string& folder, const std::string& filename, const std::string& class_name,
                    std::int64_t width, std::int64_t height, const std::vector<Box>& boxes);

}  // namespace pen
