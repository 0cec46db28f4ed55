#include <algorithm>
#include <string>

#include "eval/judging/compare.h"
#include "eval/wsol/metadata.h"
#include "tests/fuzz/fuzz.h"

// wsolevaluation's four text files, with a line of # between them, and per-image results in CSV.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pen;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  bool accepted = false;
  for (const eval::wsol::Truth truth : {eval::wsol::Truth::boxes, eval::wsol::Truth::masks}) {
    fuzz::run(ErrorKind::data, data, size, [&](auto) {
      std::string parts[4];
      std::size_t at = 0;
      for (std::string& part : parts) {
        const std::size_t end = std::min(text.find("#\n", at), text.size());
        part = text.substr(at, end - at);
        at = std::min(end + 2, text.size());
      }
      const auto images = eval::wsol::parse_metadata({parts[0], parts[1], parts[2], parts[3]}, "metadata", truth);
      fuzz::must(!images.empty(), "there are images");
      for (const eval::wsol::ListedImage& image : images) {
        const bool boxes = truth == eval::wsol::Truth::boxes;
        fuzz::must(boxes ? !image.boxes.empty() : !image.masks.empty(), "every image has a truth");
        for (const Box& b : image.boxes)
          fuzz::must(b.xmin <= b.xmax && b.xmax < image.width && b.ymin <= b.ymax && b.ymax < image.height,
                     "boxes lie inside");
      }
    });
    accepted |= fuzz::accepted;
  }
  fuzz::run(ErrorKind::data, data, size, [&](auto) {
    const eval::ImageResults results = eval::parse_image_results(text, "results.csv");
    fuzz::must(results.values.size() == results.images.size() * results.columns.size(), "a value for each cell");
  });
  fuzz::accepted |= accepted;
  return 0;
}
