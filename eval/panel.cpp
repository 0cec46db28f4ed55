#include "eval/panel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "base/check.h"
#include "eval/box.h"
#include "eval/opencv_threads.h"

namespace pen::eval {
namespace {

constexpr Color predicted_color = {255, 82, 82}, truth_color = {105, 240, 174};

Image blank(int height, int width) {
  Image image{height, width, {}};
  image.rgb.resize(static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3);
  return image;
}

std::uint8_t byte(double v) { return static_cast<std::uint8_t>(std::clamp(std::lround(v), 0l, 255l)); }

// A view for OpenCV, which has no read-only matrix.
cv::Mat view(const Image& image) {
  return cv::Mat(image.height, image.width, CV_8UC3, const_cast<std::uint8_t*>(image.rgb.data()));
}

void check_sizes(std::size_t image, std::size_t mask, int size) {
  const std::size_t pixels = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  PEN_CHECK(size >= 1 && size <= 1 << 13 && image == 3 * pixels && mask == pixels, "panel: image of ", image,
            " values and mask of ", mask, ", expected side ", size);
}

// Pixels of x * weight(i).
template <class Weight>
Image denormalised(std::span<const float> image, int size, const Normalize& normalize, Weight weight) {
  Image out = blank(size, size);
  for (std::size_t i = 0; i < out.rgb.size(); ++i) {
    const double x = static_cast<double>(image[i]) * weight(i / 3);
    out.rgb[i] =
        byte((x * static_cast<double>(normalize.std[i % 3]) + static_cast<double>(normalize.mean[i % 3])) * 255);
  }
  return out;
}

std::vector<float> enlarged_map(const std::vector<float>& map, int size, int side) {
  std::vector<float> out(static_cast<std::size_t>(side) * static_cast<std::size_t>(side));
  const cv::Mat from(size, size, CV_32F, const_cast<float*>(map.data()));
  cv::Mat to(side, side, CV_32F, out.data());
  cv::resize(from, to, {side, side}, 0, 0, cv::INTER_LINEAR);  // stays inside of the map's range
  return out;
}

}  // namespace

ColorMap parse_color_map(std::string_view name) {
  if (name == "viridis") return ColorMap::viridis;
  if (name == "inferno") return ColorMap::inferno;
  if (name == "jet") return ColorMap::jet;
  if (name == "gray") return ColorMap::gray;
  fail(ErrorKind::usage, str("unknown colour map '", name, "'"), "use viridis, inferno, jet or gray");
}

MapScale parse_map_scale(std::string_view name) {
  if (name == "unit") return MapScale::unit;
  if (name == "minmax") return MapScale::minmax;
  fail(ErrorKind::usage, str("unknown normalisation '", name, "'"), "use unit or minmax");
}

ScaledMap scale_map(std::span<const float> map, MapScale scale) {
  PEN_CHECK(!map.empty(), "panel: an empty map");
  ScaledMap out;
  out.values.assign(map.size(), 0.0f);
  if (!std::all_of(map.begin(), map.end(), [](float m) { return std::isfinite(m); })) {
    out.words = "the map holds values that are not finite: shown as zeros";
    return out;
  }
  const auto [low, high] = std::minmax_element(map.begin(), map.end());
  if (scale == MapScale::minmax) {
    if (*low == *high) {
      out.words = fmt::format("the map is {:.4g} everywhere: shown as zeros", *low);
      return out;
    }
    const double range = static_cast<double>(*high) - static_cast<double>(*low);
    for (std::size_t i = 0; i < map.size(); ++i) {
      out.values[i] = static_cast<float>((static_cast<double>(map[i]) - static_cast<double>(*low)) / range);
    }
    out.words = fmt::format("map stretched from {:.4g} .. {:.4g} to 0 .. 1", *low, *high);
    return out;
  }
  for (std::size_t i = 0; i < map.size(); ++i) out.values[i] = std::clamp(map[i], 0.0f, 1.0f);
  out.words = fmt::format("mask as it is ({:.3f} .. {:.3f})", *low, *high);
  if (*low < 0 || *high > 1) out.words += ", cut to 0 .. 1";
  return out;
}

Image to_pixels(std::span<const float> image, int size, const Normalize& normalize) {
  check_sizes(image.size(), image.size() / 3, size);
  return denormalised(image, size, normalize, [](std::size_t) { return 1.0; });
}

Image masked_pixels(std::span<const float> image, std::span<const float> mask, int size, bool in,
                    const Normalize& normalize) {
  check_sizes(image.size(), mask.size(), size);
  return denormalised(image, size, normalize, [&](std::size_t i) { return in ? mask[i] : 1.0 - mask[i]; });
}

Image enlarged(const Image& image, int height, int width, bool nearest) {
  if (image.height == height && image.width == width) return image;
  PEN_CHECK(height >= 1 && width >= 1 && height <= 1 << 14 && width <= 1 << 14, "panel: cannot enlarge to ", height,
            " x ", width);
  keep_opencv_single_threaded();
  Image out = blank(height, width);
  cv::Mat to = view(out);
  cv::resize(view(image), to, {width, height}, 0, 0, nearest ? cv::INTER_NEAREST : cv::INTER_CUBIC);
  return out;
}

Image colored(std::span<const float> map, int height, int width, ColorMap colors) {
  PEN_CHECK(map.size() == static_cast<std::size_t>(height) * static_cast<std::size_t>(width), "panel: map of ",
            map.size(), " values, expected ", height, " x ", width);
  keep_opencv_single_threaded();
  // One row of all 256 colours, as OpenCV orders them: blue first.
  cv::Mat levels(1, 256, CV_8U), table;
  for (int i = 0; i < 256; ++i) levels.at<std::uint8_t>(0, i) = static_cast<std::uint8_t>(i);
  switch (colors) {
    case ColorMap::viridis:
      cv::applyColorMap(levels, table, cv::COLORMAP_VIRIDIS);
      break;
    case ColorMap::inferno:
      cv::applyColorMap(levels, table, cv::COLORMAP_INFERNO);
      break;
    case ColorMap::jet:
      cv::applyColorMap(levels, table, cv::COLORMAP_JET);
      break;
    case ColorMap::gray:
      cv::cvtColor(levels, table, cv::COLOR_GRAY2BGR);
      break;
  }
  Image out = blank(height, width);
  for (std::size_t i = 0; i < map.size(); ++i) {
    const cv::Vec3b c = table.at<cv::Vec3b>(0, byte(static_cast<double>(map[i]) * 255));
    for (int k = 0; k < 3; ++k) out.rgb[3 * i + static_cast<std::size_t>(k)] = c[2 - k];
  }
  return out;
}

Image blended(const Image& a, const Image& b, double alpha) {
  PEN_CHECK(a.height == b.height && a.width == b.width, "panel: cannot blend ", a.height, " x ", a.width, " with ",
            b.height, " x ", b.width);
  PEN_CHECK_AS(usage, alpha >= 0 && alpha <= 1, "overlay weight ", alpha, " is not in [0, 1]");
  Image out = a;
  for (std::size_t i = 0; i < out.rgb.size(); ++i) out.rgb[i] = byte(a.rgb[i] + alpha * (b.rgb[i] - a.rgb[i]));
  return out;
}

void draw_box(Image& image, const Box& box, int size, Color color, int thickness) {
  if (area(box) == 0) return;
  const auto scaled = [size](std::int64_t v, int side) {
    return static_cast<std::int64_t>(std::llround(static_cast<double>(v) * side / size));
  };
  const Box b{scaled(box.xmin, image.width), scaled(box.ymin, image.height), scaled(box.xmax, image.width),
              scaled(box.ymax, image.height)};
  for (std::int64_t y = std::max<std::int64_t>(b.ymin, 0); y < std::min<std::int64_t>(b.ymax, image.height); ++y) {
    const bool edge_row = y < b.ymin + thickness || y >= b.ymax - thickness;
    for (std::int64_t x = std::max<std::int64_t>(b.xmin, 0); x < std::min<std::int64_t>(b.xmax, image.width); ++x) {
      if (!edge_row && x >= b.xmin + thickness && x < b.xmax - thickness) continue;
      std::copy(color.begin(), color.end(), image.rgb.begin() + (y * image.width + x) * 3);
    }
  }
}

Sheet panel_sheet(std::span<const PanelInput> inputs, const PanelOptions& options) {
  keep_opencv_single_threaded();
  Sheet sheet;
  sheet.columns = {"image", "mask", "overlay", "masked in", "masked out"};
  if (!inputs.empty())
    for (const PanelInput::View& view : inputs[0].more) sheet.columns.push_back(view.column);
  sheet.columns.push_back("box");
  bool annotated = false;
  for (const PanelInput& input : inputs) {
    check_sizes(input.image.size(), input.mask.size(), input.size);
    const int side = std::max(options.cell, input.size);
    const ScaledMap map = scale_map(input.mask, options.scale);
    const Image pixels = enlarged(to_pixels(input.image, input.size, options.normalize), side, side);
    const Image colors = colored(enlarged_map(map.values, input.size, side), side, side, options.colors);
    const auto masked = [&](bool in) {
      return enlarged(masked_pixels(input.image, map.values, input.size, in, options.normalize), side, side);
    };
    Image boxes = pixels;
    for (const Box& truth : input.truth) draw_box(boxes, truth, input.size, truth_color);
    draw_box(boxes, input.box, input.size, predicted_color);
    annotated = annotated || !input.truth.empty();

    SheetRow row;
    row.cells = {pixels, enlarged(colored(map.values, input.size, input.size, ColorMap::gray), side, side, true),
                 blended(pixels, colors, options.alpha), masked(true), masked(false)};
    PEN_CHECK(input.more.size() == inputs[0].more.size(), "panel: rows with different columns");
    for (const PanelInput::View& view : input.more) {
      check_sizes(view.image.size(), input.mask.size(), input.size);
      row.cells.push_back(enlarged(to_pixels(view.image, input.size, options.normalize), side, side));
    }
    row.cells.push_back(std::move(boxes));
    row.caption = input.caption;
    row.caption.push_back(map.words);
    sheet.rows.push_back(std::move(row));
  }
  if (annotated) sheet.footer.push_back("boxes: red predicted, green annotated");
  return sheet;
}

}  // namespace pen::eval
