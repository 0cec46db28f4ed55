// Line charts as SVG: one text that stands alone as a file or inside of an HTML page.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pen::eval {

struct ChartLine {
  std::string name;          // in the legend
  std::vector<double> x, y;  // equally many; a value that is not finite interrupts the line
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<ChartLine> lines;
  std::vector<std::string> categories;  // what stands at x = 0, 1, ...; empty: numbers
  std::optional<double> low, high;      // of the y axis; unset: from the values
  bool markers = false;                 // a dot on each value, which shows it when pointed at
  int width = 760, height = 340;        // of the whole picture
};

// The chart with axes, grid, legend and title; colours that people with colour vision deficiencies tell apart. No
// scripts, nothing from outside. No line with a finite value: axes and the words "no values".
std::string svg(const Chart& chart);

// Round numbers that divide low..high into about `count` steps of 1, 2 or 5 times a power of ten, all inside.
std::vector<double> round_ticks(double low, double high, int count);
// The characters that mean something to XML and HTML, as references.
std::string xml_escaped(std::string_view text);

}  // namespace pen::eval
