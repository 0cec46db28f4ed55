// Boxes around the contours of a map at all thresholds at once.
//
// The WSOL benchmark (Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020) cuts a
// map at up to a thousand thresholds and asks OpenCV's findContours(RETR_TREE) for the contours of each cut. There are
// at most 256 different cuts of a map of bytes, and they are nested, so that one sweep with union-find over the sorted
// pixels gives all of them. The boxes are those that findContours gives:
// - outer contours: one for each 8-connected component of {byte > T}, with the component's bounds;
// - contours of holes: one for each 4-connected component of {byte <= T} that does not reach the frame, with its
//   bounds and one pixel more on each side (the contour runs over the pixels around the hole).
// The contour with the largest contourArea is the outer contour of a component that lies in no hole: a hole's area is
// at most its component's, and is equal only where both contours are the same line. Components in no hole, their holes
// filled, are the components of {filled > T}, where `filled` is the map with its dark basins raised to the level at
// which they overflow to the frame (4-connected reconstruction by erosion; Vincent, IEEE TIP 1993). The area inside
// such a contour is 1 for each 2x2 square of pixels that are all in the component and 1/2 for each with three.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/boxes.h"

namespace pen::eval::wsol {

// Boxes in this folder have inclusive corners and lie in the frame: 0 <= xmin <= xmax <= width - 1. As in the reference
// the last column and row of a contour's box are one beyond the contour where the frame allows.
using LargestBoxes = std::array<Box, 256>;

// The byte of each score: floor(255 score). Scores must lie in [0, 1].
void to_bytes(std::span<const double> scores, std::span<std::uint8_t> bytes);

// Keeps its buffers between maps. One per thread.
class LevelSets {
 public:
  // bytes (height, width), each side 1 to 4096. The view must stay until the last call below.
  void set(std::span<const std::uint8_t> bytes, int height, int width);
  // Largest byte of the map; {byte > T} is empty from T = top() on.
  int top() const { return top_; }

  // Entry T: the box of the contour with the largest area of {byte > T}; of equal ones the one that begins last in
  // raster order, which is the first in OpenCV's list. Nothing set: {0, 0, 0, 0}.
  LargestBoxes largest();

  // Calls visit(box, low, high) for every contour: it exists with this box for all T in low..high. A contour whose box
  // changes with T is visited once for each of its boxes. In no particular order.
  using Visit = std::function<void(const Box& box, int low, int high)>;
  void contours(const Visit& visit);

 private:
  struct Node {
    std::int32_t x0, y0, x1, y1;  // bounds, inclusive
    std::int32_t since = 0;       // contours(): the T at which they came to be
    std::int32_t size = 1;        // pixels
    bool outside = false;         // reaches the frame, and is therefore no hole
    std::int32_t first = 0;       // largest(): the component's first pixel in raster order,
    std::int32_t area = 0;        // twice the area inside its outer contour,
    std::int32_t place = 0;       // and its place in roots_
  };
  std::int32_t root(std::int32_t pixel);
  void sort(std::span<const std::uint8_t> levels);
  void fill_basins();
  void count_areas();
  std::int32_t join(std::int32_t a, std::int32_t b);
  Box box_of(const Node& node, int margin) const;
  template <bool Holes>
  void sweep(const Visit& visit);
  // Calls body(q) for the neighbours of a pixel that are in the frame: 4 or 8 of them.
  template <int Connectivity, class Body>
  void neighbours(std::int32_t pixel, const Body& body) const {
    const std::int32_t y = pixel / width_, x = pixel - y * width_;
    const bool up = y > 0, down = y + 1 < height_, left = x > 0, right = x + 1 < width_;
    if (up) body(pixel - width_);
    if (left) body(pixel - 1);
    if (right) body(pixel + 1);
    if (down) body(pixel + width_);
    if (Connectivity == 4) return;
    if (up && left) body(pixel - width_ - 1);
    if (up && right) body(pixel - width_ + 1);
    if (down && left) body(pixel + width_ - 1);
    if (down && right) body(pixel + width_ + 1);
  }

  std::span<const std::uint8_t> bytes_;
  int height_ = 0, width_ = 0, top_ = 0;
  std::vector<std::uint8_t> filled_;
  std::vector<std::int32_t> parent_;       // of union-find; -1: not there yet
  std::vector<Node> nodes_;                // by root pixel
  std::vector<std::int32_t> gain_;         // what each pixel adds to its component's area
  std::vector<std::int32_t> sorted_;       // pixels by level, ascending
  std::array<std::int32_t, 257> begin_{};  // of each level in sorted_
  std::vector<std::int32_t> roots_;
  std::array<std::vector<std::int32_t>, 256> queue_;
};

}  // namespace pen::eval::wsol
