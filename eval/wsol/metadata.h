// Lists of images with boxes or masks in the text files of wsolevaluation.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data/boxes.h"

namespace pen::eval::wsol {

// What its folder `<metadata>/<dataset>/<split>/` says of one image.
struct ListedImage {
  std::string id;                      // path below the data set's folder, with its ending: val/001/x.jpg
  std::int64_t label = 0;              // class_labels.txt
  std::int64_t width = 0, height = 0;  // image_sizes.txt; 0 where masks are the truth
  std::vector<Box> boxes;              // localization.txt: inclusive corners, in the image's own pixels
  std::vector<std::string> masks;      // or: mask files of its objects, below the folder of masks
  std::string ignore;                  // and the mask of the region that does not count; may be empty
};

enum class Truth { boxes, masks };

// image_ids.txt (an id a line) gives the images and their order; class_labels.txt (id,class), image_sizes.txt
// (id,width,height; for boxes only) and localization.txt (id,x0,y0,x1,y1 or id,mask,ignore; several lines an image)
// what is known of them. Entries of other images are passed over. Data errors name file, line and id: a file that is
// missing, a line of another form, an id that is listed twice or lacks an entry, a box that is not 0 <= x0 <= x1 <
// width and 0 <= y0 <= y1 < height, an image with two ignore masks.
std::vector<ListedImage> read_metadata(const std::string& folder, Truth truth);

// The same from texts; the files' names stand in messages.
struct MetadataTexts {
  std::string image_ids, class_labels, image_sizes, localization;
};
std::vector<ListedImage> parse_metadata(const MetadataTexts& texts, const std::string& folder, Truth truth);

}  // namespace pen::eval::wsol
