// Pictures of a mask: the image, the mask, an overlay, the image masked in and out, its box; one row an image.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/boxes.h"
#include "data/image.h"
#include "data/transforms.h"
#include "eval/sheet.h"

namespace pen::eval {

enum class ColorMap { viridis, inferno, jet, gray };
ColorMap parse_color_map(std::string_view name);  // else a usage error that lists them

// How a map becomes brightness. unit: values as they are, cut to [0, 1] (masks). minmax: from the map's smallest to its
// largest value (attribution maps).
enum class MapScale { unit, minmax };
MapScale parse_map_scale(std::string_view name);  // unit|minmax, else a usage error

// A map in [0, 1] and the words that say how it got there. A map that holds a value that is not finite, or that minmax
// finds constant, gives zeros, and the words say so.
struct ScaledMap {
  std::vector<float> values;
  std::string words;  // "mask as it is, 0.012 to 0.981"
};
ScaledMap scale_map(std::span<const float> map, MapScale scale);

// Pixels of a normalised image (size, size, 3): (x std + mean) 255, rounded and clipped.
Image to_pixels(std::span<const float> image, int size, const Normalize& normalize);
// The pixels of image * mask (or image * (1 - mask)), multiplied where the network multiplies, on normalised values:
// what is masked away shows the normalisation's mean colour. image (size, size, 3), mask (size, size).
Image masked_pixels(std::span<const float> image, std::span<const float> mask, int size, bool in,
                    const Normalize& normalize);
// Enlarges by cubic interpolation, or keeps pixels visible as squares (nearest).
Image enlarged(const Image& image, int height, int width, bool nearest = false);
// A map in [0, 1] (height, width) in colours.
Image colored(std::span<const float> map, int height, int width, ColorMap colors);
// a + alpha (b - a), pixel by pixel; equal sizes.
Image blended(const Image& a, const Image& b, double alpha);
// A frame `thickness` pixels wide along the inner edge of a box given in the pixels of an image of side `size`, drawn
// in proportion; cut at the image's border. Empty boxes leave no trace.
void draw_box(Image& image, const Box& box, int size, Color color, int thickness = 2);

struct PanelOptions {
  ColorMap colors = ColorMap::viridis;
  MapScale scale = MapScale::unit;
  double alpha = 0.55;  // weight of the colours in the overlay
  int cell = 224;       // smallest side of a picture; larger inputs keep their own
  Normalize normalize;
};
// One image and its map. All views.
struct PanelInput {
  std::span<const float> image;  // (size, size, 3), normalised
  std::span<const float> mask;   // (size, size)
  int size = 0;
  Box box;                           // predicted
  std::vector<Box> truth;            // annotated boxes, if there are any
  std::vector<std::string> caption;  // lines below: top classes before and after, say
  // More pictures (size, size, 3), normalised, before the box: "infilled out". The same columns in every row.
  struct View {
    std::string column;
    std::span<const float> image;
  };
  std::vector<View> more = {};
};
// A row for each input with the columns image, mask, overlay, masked in, masked out, box. The row's caption ends with
// the normalisation of its mask.
Sheet panel_sheet(std::span<const PanelInput> inputs, const PanelOptions& options = {});
inline Image panel(std::span<const PanelInput> inputs, const PanelOptions& options = {}) {
  return compose(panel_sheet(inputs, options));
}

}  // namespace pen::eval
