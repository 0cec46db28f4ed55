// The gallery of a report: images with the masks of one checkpoint or two, sortable by metric, with a slider for the
// masks' threshold. Everything is inside of the page.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/image.h"
#include "eval/html_page.h"

namespace pen::eval {

struct GalleryItem {
  std::string path;
  std::vector<double> values;             // of the metrics
  Image image;                            // (S, S)
  std::vector<std::vector<float>> masks;  // (S, S) each, in [0, 1]; one for each checkpoint
};
struct Gallery {
  std::vector<std::string> metrics;
  std::size_t sorted_by = 0;            // number of a metric
  std::vector<std::string> mask_names;  // of the checkpoints
  std::vector<GalleryItem> items;
};

// Adds the gallery to the page. Masks are kept as 8-bit PNG, so that thresholds have steps of 1/255.
void add_gallery(HtmlPage& page, const Gallery& gallery);

}  // namespace pen::eval
