#include "eval/sanity/pictures.h"

#include <algorithm>

#include "base/check.h"
#include "eval/opencv_threads.h"
#include "eval/panel.h"

namespace pen::eval::sanity {
namespace {

constexpr int cell = 160;  // smallest side of a picture

// The pictures of one image's map.
struct Cells {
  Image image, map, in, out;
  std::string words;
};

Cells cells_of(const Plotted& plotted, std::size_t i, std::span<const float> maps, bool is_mask) {
  const auto pixels = static_cast<std::size_t>(plotted.size * plotted.size);
  PEN_CHECK(maps.size() == plotted.paths.size() * pixels && plotted.images.size() == 3 * maps.size(),
            "sanity check: ", maps.size(), " map values for the pictures of ", plotted.paths.size(), " images");
  const int size = static_cast<int>(plotted.size), side = std::max(cell, size);
  const Normalize normalize;
  const auto image = std::span(plotted.images).subspan(i * pixels * 3, pixels * 3);
  const ScaledMap map = scale_map(maps.subspan(i * pixels, pixels), is_mask ? MapScale::unit : MapScale::minmax);
  const auto masked = [&](bool in) {
    return enlarged(masked_pixels(image, map.values, size, in, normalize), side, side);
  };
  return {enlarged(to_pixels(image, size, normalize), side, side),
          enlarged(colored(map.values, size, size, ColorMap::viridis), side, side, true), masked(true), masked(false),
          map.words};
}

}  // namespace

Image picture(const Plotted& plotted, std::span<const float> maps, bool is_mask, const std::string& title) {
  keep_opencv_single_threaded();
  Sheet sheet;
  sheet.columns = {"image", is_mask ? "mask" : "map", "masked in", "masked out"};
  for (std::size_t i = 0; i < plotted.paths.size(); ++i) {
    const Cells c = cells_of(plotted, i, maps, is_mask);
    sheet.rows.push_back({"", {c.image, c.map, c.in, c.out}, {c.words}});
  }
  sheet.footer = {title};
  return compose(sheet);
}

Image picture_of_two(const Plotted& plotted, std::span<const float> first, std::span<const float> second,
                     const std::string& first_name, const std::string& second_name) {
  keep_opencv_single_threaded();
  Sheet sheet;
  sheet.columns = {"image", first_name, second_name, "first masked in", "second masked in"};
  for (std::size_t i = 0; i < plotted.paths.size(); ++i) {
    const Cells a = cells_of(plotted, i, first, true), b = cells_of(plotted, i, second, true);
    sheet.rows.push_back({"", {a.image, a.map, b.map, a.in, b.in}, {"first: " + a.words, "second: " + b.words}});
  }
  return compose(sheet);
}

}  // namespace pen::eval::sanity
