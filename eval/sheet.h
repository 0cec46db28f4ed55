// Sheets of pictures with titles and captions: what panels and grids are laid out on.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "data/image.h"

namespace pen::eval {

using Color = std::array<std::uint8_t, 3>;  // red, green, blue

// Draws one line of text with its top left corner at (x, y) and capital letters `height` pixels high, smoothed; parts
// outside of the image are cut. Characters that the built-in stroke font lacks (all beyond ASCII) become '?', once
// each.
void draw_text(Image& image, int x, int y, const std::string& text, int height, Color color);
// Width of that line in pixels.
int text_width(const std::string& text, int height);
// Pixels from one line's top to the next one's.
int line_height(int height);

struct SheetRow {
  std::string label;                 // left of the row; no row with a label: no space for it
  std::vector<Image> cells;          // as many as there are columns
  std::vector<std::string> caption;  // lines below the row, wrapped at the sheet's width
};
struct Sheet {
  std::vector<std::string> columns;  // titles above the cells
  std::vector<SheetRow> rows;
  std::vector<std::string> footer;  // lines below everything
  int text = 11;                    // height of capitals
};
// The sheet as one image on white. Cells of a column share its width and cells of a row its height, each centred. More
// than 2^28 pixels, no column, or a row with another number of cells: an error.
Image compose(const Sheet& sheet);

}  // namespace pen::eval
