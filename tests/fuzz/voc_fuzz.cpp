#include "data/annotations.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pen;
  static AnnotationReader reader;  // its buffer is kept between files, as in use
  return fuzz::run(ErrorKind::data, data, size, [](std::span<const std::uint8_t> bytes) {
    const Annotation a = reader.parse(bytes, "a.xml", "cat", "a.jpg");
    fuzz::must(!a.boxes.empty(), "there is a box");
    for (const Box& b : a.boxes) {
      fuzz::must(0 <= b.xmin && b.xmin <= b.xmax && b.xmax <= a.width, "boxes are inside, x");
      fuzz::must(0 <= b.ymin && b.ymin <= b.ymax && b.ymax <= a.height, "boxes are inside, y");
      for (const bool break_ratio : {false, true}) {
        const Box f = box_in_frame(b, a.width, a.height, 224, break_ratio);
        fuzz::must(f.xmin <= f.xmax && f.ymin <= f.ymax, "boxes stay in order");
      }
    }
  });
}
