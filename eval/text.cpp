#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "eval/opencv_threads.h"
#include "eval/sheet.h"

namespace pen::eval {
namespace {

// Strokes are drawn this much larger and averaged down: OpenCV's own smoothing blurs letters of a few pixels.
constexpr int oversample = 6;
constexpr int font = cv::FONT_HERSHEY_SIMPLEX;
constexpr double cap_height = 21.0;  // of that font at scale 1

double scale_of(int height) { return height * oversample / cap_height; }
int stroke_of(int height) { return std::max(1, static_cast<int>(std::lround(height * oversample * 0.115))); }

std::string printable(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if ((c & 0xC0) == 0x80) continue;  // the rest of a character that became '?' already
    out += c >= 32 && c < 127 ? c : '?';
  }
  return out;
}

cv::Size size_of(const std::string& text, int height) {
  int baseline = 0;
  return cv::getTextSize(text, font, scale_of(height), stroke_of(height), &baseline);
}

}  // namespace

int text_width(const std::string& text, int height) {
  return (size_of(printable(text), height).width + oversample - 1) / oversample;
}

int line_height(int height) { return height + height * 3 / 4; }

void draw_text(Image& image, int x, int y, const std::string& text, int height, Color color) {
  keep_opencv_single_threaded();
  const std::string line = printable(text);
  if (line.empty()) return;
  // A third of the height below the baseline holds descenders and brackets, a sixth above holds accents and slashes.
  const int above = height / 6 + 1, rows = above + height + height / 3 + 1;
  const int columns = size_of(line, height).width / oversample + 2;
  cv::Mat large(rows * oversample, columns * oversample, CV_8U, cv::Scalar(0));
  cv::putText(large, line, {0, (above + height) * oversample}, font, scale_of(height), cv::Scalar(255),
              stroke_of(height), cv::LINE_8);
  cv::Mat coverage;
  cv::resize(large, coverage, {columns, rows}, 0, 0, cv::INTER_AREA);
  for (int r = 0; r < rows; ++r) {
    const int row = y - above + r;
    if (row < 0 || row >= image.height) continue;
    for (int c = 0; c < columns; ++c) {
      const int column = x + c;
      if (column < 0 || column >= image.width) continue;
      std::uint8_t* pixel = &image.rgb[(static_cast<std::size_t>(row) * static_cast<std::size_t>(image.width) +
                                        static_cast<std::size_t>(column)) *
                                       3];
      const int a = coverage.at<std::uint8_t>(r, c);
      for (std::size_t k = 0; k < 3; ++k) {
        pixel[k] = static_cast<std::uint8_t>((pixel[k] * (255 - a) + color[k] * a + 127) / 255);
      }
    }
  }
}

}  // namespace pen::eval
