#include "eval/sheet.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace pen::eval {
namespace {

constexpr int margin = 16, gap = 8;
constexpr Color ink = {32, 33, 36}, soft_ink = {95, 99, 104};

// Cuts a line into pieces that fit `width`, at spaces where there are any.
std::vector<std::string> wrapped(const std::string& line, int width, int text) {
  std::vector<std::string> pieces;
  std::string rest = line;
  while (!rest.empty()) {
    std::size_t count = rest.size();
    while (count > 1 && text_width(rest.substr(0, count), text) > width) {
      const std::size_t space = rest.rfind(' ', count - 1);
      count = space == std::string::npos || space == 0 ? count - 1 : space;
    }
    pieces.push_back(rest.substr(0, count));
    rest.erase(0, count);
    rest.erase(0, std::min(rest.find_first_not_of(' '), rest.size()));
  }
  return pieces;
}

std::vector<std::string> wrapped(const std::vector<std::string>& lines, int width, int text) {
  std::vector<std::string> all;
  for (const std::string& line : lines) {
    const auto pieces = wrapped(line, width, text);
    all.insert(all.end(), pieces.begin(), pieces.end());
  }
  return all;
}

void paste(Image& sheet, const Image& cell, int x, int y) {
  for (int r = 0; r < cell.height; ++r) {
    std::memcpy(&sheet.rgb[(static_cast<std::size_t>(y + r) * static_cast<std::size_t>(sheet.width) +
                            static_cast<std::size_t>(x)) *
                           3],
                &cell.rgb[static_cast<std::size_t>(r) * static_cast<std::size_t>(cell.width) * 3],
                static_cast<std::size_t>(cell.width) * 3);
  }
}

int draw_lines(Image& sheet, int x, int y, const std::vector<std::string>& lines, int text, Color color) {
  for (const std::string& line : lines) {
    draw_text(sheet, x, y, line, text, color);
    y += line_height(text);
  }
  return y;
}

// Where everything goes.
struct Layout {
  int label = 0;                     // width of the labels' column, gap included
  std::vector<int> widths, heights;  // of columns and rows of cells
  int content = 0;                   // width between the margins
  std::vector<std::vector<std::string>> captions;
  std::vector<std::string> footer;
  std::int64_t width = 0, height = 0;
};

Layout layout_of(const Sheet& sheet) {
  PEN_CHECK(!sheet.columns.empty() && !sheet.rows.empty(), "sheet: it needs columns and rows");
  PEN_CHECK(sheet.text >= 4 && sheet.text <= 100, "sheet: text of ", sheet.text, " pixels");
  Layout l;
  for (const std::string& title : sheet.columns) l.widths.push_back(text_width(title, sheet.text));
  for (const SheetRow& row : sheet.rows) {
    PEN_CHECK(row.cells.size() == sheet.columns.size(), "sheet: a row has ", row.cells.size(), " cells, expected ",
              sheet.columns.size());
    int height = 0;
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      const Image& cell = row.cells[c];
      PEN_CHECK(cell.height > 0 && cell.width > 0 && cell.height <= 1 << 14 && cell.width <= 1 << 14 &&
                    cell.rgb.size() == static_cast<std::size_t>(cell.height) * static_cast<std::size_t>(cell.width) * 3,
                "sheet: a cell of ", cell.height, " x ", cell.width, " pixels with ", cell.rgb.size(), " bytes");
      l.widths[c] = std::max(l.widths[c], cell.width);
      height = std::max(height, cell.height);
    }
    l.heights.push_back(height);
    if (!row.label.empty()) l.label = std::max(l.label, text_width(row.label, sheet.text) + gap);
  }
  std::int64_t content = l.label - gap;
  for (const int width : l.widths) content += width + gap;
  const int line = line_height(sheet.text);
  l.width = content + 2 * margin;
  l.height = 2 * margin + line;
  PEN_CHECK(l.width <= 1 << 28, "sheet: it would be ", l.width, " pixels wide");
  l.content = static_cast<int>(content);
  for (std::size_t r = 0; r < sheet.rows.size(); ++r) {
    l.captions.push_back(wrapped(sheet.rows[r].caption, l.content - l.label, sheet.text));
    const std::int64_t lines = static_cast<std::int64_t>(l.captions.back().size());
    l.height += l.heights[r] + gap + (lines ? lines * line + gap : 0);
  }
  l.footer = wrapped(sheet.footer, l.content, sheet.text);
  l.height += static_cast<std::int64_t>(l.footer.size()) * line;
  PEN_CHECK(l.height <= (1 << 28) / l.width, "sheet: it would be ", l.height, " x ", l.width,
            " pixels; show fewer pictures or smaller ones");
  return l;
}

}  // namespace

Image compose(const Sheet& sheet) {
  const Layout l = layout_of(sheet);
  const int line = line_height(sheet.text);
  Image image{static_cast<int>(l.height), static_cast<int>(l.width), {}};
  image.rgb.assign(static_cast<std::size_t>(l.height * l.width * 3), 255);

  int x = margin + l.label, y = margin;
  for (std::size_t c = 0; c < sheet.columns.size(); ++c) {
    const int width = text_width(sheet.columns[c], sheet.text);
    draw_text(image, x + (l.widths[c] - width) / 2, y, sheet.columns[c], sheet.text, ink);
    x += l.widths[c] + gap;
  }
  y += line;
  for (std::size_t r = 0; r < sheet.rows.size(); ++r) {
    const SheetRow& row = sheet.rows[r];
    draw_text(image, margin, y + (l.heights[r] - sheet.text) / 2, row.label, sheet.text, ink);
    x = margin + l.label;
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      const Image& cell = row.cells[c];
      paste(image, cell, x + (l.widths[c] - cell.width) / 2, y + (l.heights[r] - cell.height) / 2);
      x += l.widths[c] + gap;
    }
    y += l.heights[r] + gap;
    if (!l.captions[r].empty()) y = draw_lines(image, margin + l.label, y, l.captions[r], sheet.text, ink) + gap;
  }
  draw_lines(image, margin, y, l.footer, sheet.text, soft_ink);
  return image;
}

}  // namespace pen::eval
