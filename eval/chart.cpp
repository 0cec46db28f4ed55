#include "eval/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace pen::eval {
namespace {

// Okabe and Ito, "Color universal design", 2008.
constexpr std::array<const char*, 7> colors = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                               "#e69f00", "#56b4e9", "#7f7f7f"};
constexpr double letter = 6.4;  // mean width of a letter at 12 px, to leave enough room for names

struct Frame {
  double left, right, top, bottom;      // of the plot inside the picture
  double x_low, x_high, y_low, y_high;  // values at its edges
  double x(double value) const { return left + (value - x_low) / (x_high - x_low) * (right - left); }
  double y(double value) const { return bottom - (value - y_low) / (y_high - y_low) * (bottom - top); }
};

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double v) {
    if (!std::isfinite(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  bool empty() const { return low > high; }
  // A range of no width has no scale.
  void widen() {
    if (empty()) low = 0, high = 1;
    if (high - low <= 1e-12 * std::max(std::abs(low), std::abs(high)) || low == high) {
      const double by = low == 0 ? 1 : 0.1 * std::abs(low);
      low -= by;
      high += by;
    }
  }
};

std::string number(double v) {
  if (std::abs(v) < 1e-12) v = 0;
  return fmt::format("{:.6g}", v);
}

std::string text_at(double x, double y, const std::string& text, const std::string& more) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, more, xml_escaped(text));
}

void draw_axes(std::string& out, const Chart& chart, const Frame& f) {
  for (const double v : round_ticks(f.y_low, f.y_high, 5)) {
    out += fmt::format("<path class=\"g\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", f.left, f.y(v), f.right);
    out += text_at(f.left - 6, f.y(v) + 4, number(v), "text-anchor=\"end\"");
  }
  if (chart.categories.empty()) {
    for (const double v : round_ticks(f.x_low, f.x_high, 8)) {
      out += fmt::format("<path class=\"g\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>\n", f.x(v), f.top, f.bottom);
      out += text_at(f.x(v), f.bottom + 16, number(v), "text-anchor=\"middle\"");
    }
  } else {
    for (std::size_t i = 0; i < chart.categories.size(); ++i) {
      const double x = f.x(static_cast<double>(i));
      out += fmt::format("<path class=\"g\" d=\"M{:.1f} {:.1f}v4\"/>\n", x, f.bottom);
      out += text_at(x, f.bottom + 12, chart.categories[i],
                     fmt::format("text-anchor=\"end\" transform=\"rotate(-50 {:.1f} {:.1f})\"", x, f.bottom + 12));
    }
  }
  out += fmt::format("<path class=\"a\" d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\"/>\n", f.left, f.top, f.bottom, f.right);
}

void draw_line(std::string& out, const ChartLine& line, const char* color, bool markers, const Chart& chart,
               const Frame& f) {
  std::string path;
  bool pen_down = false;
  for (std::size_t i = 0; i < line.x.size(); ++i) {
    const bool finite = std::isfinite(line.x[i]) && std::isfinite(line.y[i]);
    if (finite) path += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", f.x(line.x[i]), f.y(line.y[i]));
    pen_down = finite;
  }
  out += fmt::format("<path class=\"l\" stroke=\"{}\" d=\"{}\"/>\n", color, path);
  if (!markers) return;
  for (std::size_t i = 0; i < line.x.size(); ++i) {
    if (!std::isfinite(line.x[i]) || !std::isfinite(line.y[i])) continue;
    const auto place = static_cast<std::size_t>(std::max(line.x[i], 0.0));
    const std::string where = place < chart.categories.size() ? chart.categories[place] : number(line.x[i]);
    out +=
        fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\" fill=\"{}\"><title>{} {}: {:.4f}</title></circle>\n",
                    f.x(line.x[i]), f.y(line.y[i]), color, xml_escaped(line.name), xml_escaped(where), line.y[i]);
  }
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int count) {
  PEN_CHECK(std::isfinite(low) && std::isfinite(high) && low < high && count >= 1, "chart: an axis from ", low, " to ",
            high);
  const double rough = (high - low) / count, power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0})
    if (factor * power >= rough * (1 - 1e-9)) step = factor * power;
  std::vector<double> ticks;
  // Counted, not added up, so that the last tick is not lost to rounding.
  const double first = std::ceil(low / step - 1e-9);
  for (int i = 0; (first + i) * step <= high + 1e-9 * step; ++i) ticks.push_back((first + i) * step);
  return ticks;
}

std::string xml_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        // XML has no other control characters, not even as references.
        out += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return out;
}

std::string svg(const Chart& chart) {
  Range x, y;
  for (const ChartLine& line : chart.lines) {
    PEN_CHECK(line.x.size() == line.y.size(), "chart: the line '", line.name, "' has ", line.x.size(), " x and ",
              line.y.size(), " y");
    for (std::size_t i = 0; i < line.x.size(); ++i) {
      if (!std::isfinite(line.x[i]) || !std::isfinite(line.y[i])) continue;
      x.add(line.x[i]);
      y.add(line.y[i]);
    }
  }
  const bool empty = y.empty();
  if (!chart.categories.empty()) x = {-0.3, static_cast<double>(chart.categories.size()) - 0.7};
  if (chart.low) y.low = *chart.low;
  if (chart.high) y.high = *chart.high;
  x.widen();
  y.widen();
  std::size_t longest = 0;
  for (const std::string& name : chart.categories) longest = std::max(longest, name.size());
  const double below = chart.categories.empty() ? 24 : 20 + 0.77 * letter * static_cast<double>(longest);
  const Frame f{58,
                chart.width - 14.0,
                chart.title.empty() ? 34.0 : 54.0,
                chart.height - below - (chart.x_label.empty() ? 4 : 20),
                x.low,
                x.high,
                y.low,
                y.high};

  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\" "
      "font-family=\"system-ui,sans-serif\" font-size=\"12\" fill=\"#333\">\n"
      "<style>.g{{stroke:#ddd;fill:none}}.a{{stroke:#666;fill:none}}.l{{fill:none;stroke-width:1.8;"
      "stroke-linejoin:round}}</style>\n<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n",
      chart.width, chart.height);
  if (!chart.title.empty()) out += text_at(f.left, 20, chart.title, "font-size=\"14\" font-weight=\"600\"");
  draw_axes(out, chart, f);
  double at = f.left;
  for (std::size_t i = 0; i < chart.lines.size(); ++i) {
    const char* color = colors[i % colors.size()];
    draw_line(out, chart.lines[i], color, chart.markers, chart, f);
    const double row = f.top - 14;
    out += fmt::format("<path class=\"l\" stroke=\"{}\" d=\"M{:.1f} {:.1f}h16\"/>\n", color, at, row);
    out += text_at(at + 20, row + 4, chart.lines[i].name, "");
    at += 36 + letter * static_cast<double>(chart.lines[i].name.size());
  }
  if (empty) out += text_at((f.left + f.right) / 2, (f.top + f.bottom) / 2, "no values", "text-anchor=\"middle\"");
  if (!chart.x_label.empty())
    out += text_at((f.left + f.right) / 2, chart.height - 6.0, chart.x_label, "text-anchor=\"middle\"");
  if (!chart.y_label.empty())
    out += text_at(14, (f.top + f.bottom) / 2, chart.y_label,
                   fmt::format("text-anchor=\"middle\" transform=\"rotate(-90 14 {:.1f})\"", (f.top + f.bottom) / 2));
  return out + "</svg>\n";
}

}  // namespace pen::eval
