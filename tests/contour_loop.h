// The WSOL benchmark's boxes as its own program finds them: one call of findContours for each threshold. The twin that
// eval/wsol/level_sets.h is held against.
#pragma once

#include <algorithm>
#include <cstdint>
#include <opencv2/imgproc.hpp>
#include <span>
#include <vector>

#include "data/boxes.h"

namespace pen::test {

struct ContourBoxes {
  std::vector<Box> all;  // in OpenCV's order; {0, 0, 0, 0} where there is no contour
  Box largest;           // of the first contour that has the largest contourArea
};

// Contours of {byte > cut}.
inline ContourBoxes contour_boxes(std::span<const std::uint8_t> bytes, int height, int width, int cut) {
  const cv::Mat map(height, width, CV_8U, const_cast<std::uint8_t*>(bytes.data()));
  cv::Mat binary;
  cv::threshold(map, binary, cut, 255, cv::THRESH_BINARY);
  std::vector<std::vector<cv::Point>> contours;
  cv::findContours(binary, contours, cv::RETR_TREE, cv::CHAIN_APPROX_SIMPLE);
  ContourBoxes out;
  double largest = -1;
  for (const auto& contour : contours) {
    const cv::Rect r = cv::boundingRect(contour);
    out.all.push_back({r.x, r.y, std::min(r.x + r.width, width - 1), std::min(r.y + r.height, height - 1)});
    const double area = cv::contourArea(contour);
    if (area > largest) {
      largest = area;
      out.largest = out.all.back();
    }
  }
  if (contours.empty()) out.all.push_back({0, 0, 0, 0});
  return out;
}

}  // namespace pen::test
