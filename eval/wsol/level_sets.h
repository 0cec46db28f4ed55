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
  // bytes (height, width), each side 1 to 4096.
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
  // Bounds (inclusive) and sums of one component.
  struct Node {
    std::int32_t x0 = 0, y0 = 0, x1 = 0, y1 = 0;
    std::int32_t since = 0;  // the T at which the bounds came to be
    std::int32_t size = 1;   // pixels
    std::int32_t first = 0;  // the first pixel in raster order, as in sorted_
    std::int32_t area = 0;   // twice the area inside its outer contour
    std::int32_t place = 0;  // in roots_
  };
  void forget_components();
  std::int32_t root(std::int32_t node);
  void sort(std::span<const std::uint8_t> levels);
  void fill_basins();
  Box box_of(const Node& node, int margin) const;
  bool reaches_frame(const Node& node) const {
    return node.x0 == 0 || node.y0 == 0 || node.x1 + 1 == width_ || node.y1 + 1 == height_;
  }
  template <int Connectivity, class Changes>
  void add(std::int32_t place, std::int32_t now, Changes& changes);
  template <bool Holes>
  void sweep(const Visit& visit);

  int height_ = 0, width_ = 0, stride_ = 0, top_ = 0;
  // Of each pixel, with a frame of one pixel around the map which no component ever enters.
  std::vector<std::uint8_t> padded_, filled_;
  std::vector<std::uint8_t> there_;  // bits: whether it has appeared; rows of pitch_ bytes
  int pitch_ = 0;
  std::vector<std::int32_t> label_;        // of what has appeared: the component that it began or joined, in nodes_
  std::array<std::int32_t, 9> step_{};     // from a pixel to those of 3x3 around it
  std::vector<std::int32_t> sorted_;       // pixels by level, ascending, in raster order: row << 16 | column
  std::array<std::int32_t, 257> begin_{};  // of each level in sorted_
  // Of each component that ever began. There are far fewer than pixels: what is walked at random stays in the cache.
  std::vector<Node> nodes_;
  std::vector<std::int32_t> joined_;  // of union-find: the component that it was joined to, or itself
  std::vector<std::int32_t> roots_;   // those that are there
  std::array<std::vector<std::int32_t>, 256> queue_;
};

}  // namespace pen::eval::wsol
