#include "eval/wsol/level_sets.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace pen::eval::wsol {

void to_bytes(std::span<const double> scores, std::span<std::uint8_t> bytes) {
  PEN_CHECK(scores.size() == bytes.size(), "bytes of a map: ", scores.size(), " scores, room for ", bytes.size());
  for (std::size_t i = 0; i < scores.size(); ++i) bytes[i] = static_cast<std::uint8_t>(scores[i] * 255);
}

namespace {

// What a pixel meets that appears in the middle of 3x3.
struct Meeting {
  // One neighbour of each connected group, so that only these have to be asked for their component. With 4-connectivity
  // the groups are joined through the corners, but only the four direct neighbours touch the pixel.
  std::uint8_t count = 0;
  std::array<std::uint8_t, 4> of{};  // 3 row + column
  std::uint8_t squares = 0;  // of the four 2x2 squares around the pixel those of which two or three others are there
};
// By the set of pixels that are there; bit k: row k / 3, column k % 3. The bit in the middle does not matter.
std::array<Meeting, 512> meetings(int connectivity) {
  std::array<Meeting, 512> table;
  for (std::size_t set = 0; set < 512; ++set) {
    const auto there = [&](int k) { return k != 4 && (set >> k & 1); };
    const auto touch = [&](int a, int b) {
      const int dx = std::abs(a % 3 - b % 3), dy = std::abs(a / 3 - b / 3);
      return connectivity == 8 ? std::max(dx, dy) == 1 : dx + dy == 1;
    };
    std::array<int, 9> group{0, 1, 2, 3, 4, 5, 6, 7, 8};
    for (int pass = 0; pass < 8; ++pass)
      for (int a = 0; a < 9; ++a)
        for (int b = 0; b < 9; ++b)
          if (there(a) && there(b) && touch(a, b)) {
            auto &of_a = group[static_cast<std::size_t>(a)], &of_b = group[static_cast<std::size_t>(b)];
            of_a = of_b = std::min(of_a, of_b);
          }
    Meeting& met = table[set];
    for (int k = 0; k < 9; ++k) {
      if (!there(k) || !touch(k, 4)) continue;
      bool known = false;
      for (std::size_t g = 0; g < met.count; ++g) known |= group[met.of[g]] == group[static_cast<std::size_t>(k)];
      if (!known) met.of[met.count++] = static_cast<std::uint8_t>(k);
    }
    for (const int corner : {0, 1, 3, 4})
      met.squares += there(corner) + there(corner + 1) + there(corner + 3) + there(corner + 4) >= 2;
  }
  return table;
}
const std::array<Meeting, 512> meetings_of_4 = meetings(4), meetings_of_8 = meetings(8);

// Bits of pixels are read and written in words of two bytes, which overlap in their bytes.
static_assert(std::endian::native == std::endian::little);
std::uint16_t two_bytes(const std::uint8_t* at) {
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return bits;
}

}  // namespace

void LevelSets::set(std::span<const std::uint8_t> bytes, int height, int width) {
  PEN_CHECK(height >= 1 && width >= 1 && height <= 4096 && width <= 4096, "map of ", height, " x ", width,
            ": each side must be 1 to 4096");
  PEN_CHECK(bytes.size() == static_cast<std::size_t>(height) * static_cast<std::size_t>(width), "map has ",
            bytes.size(), " values, expected ", height, " x ", width);
  height_ = height;
  width_ = width;
  stride_ = width + 2;
  top_ = *std::max_element(bytes.begin(), bytes.end());
  const std::size_t all = static_cast<std::size_t>(height + 2) * static_cast<std::size_t>(stride_);
  padded_.assign(all, 0);
  for (int y = 0; y < height; ++y)
    std::copy_n(bytes.begin() + y * std::ptrdiff_t{width}, width,
                padded_.begin() + (y + 1) * std::ptrdiff_t{stride_} + 1);
  label_.resize(all);
  sorted_.resize(bytes.size());
  for (int k = 0; k < 9; ++k) step_[static_cast<std::size_t>(k)] = (k / 3 - 1) * stride_ + k % 3 - 1;
  pitch_ = stride_ / 8 + 2;
  there_.resize(static_cast<std::size_t>(height + 2) * static_cast<std::size_t>(pitch_));
}

void LevelSets::forget_components() {
  std::fill(there_.begin(), there_.end(), std::uint8_t{0});
  nodes_.clear();
  joined_.clear();
}

std::int32_t LevelSets::root(std::int32_t node) {
  auto* joined = joined_.data();
  while (joined[node] != node) {
    joined[node] = joined[joined[node]];
    node = joined[node];
  }
  return node;
}

void LevelSets::sort(std::span<const std::uint8_t> levels) {
  begin_.fill(0);
  for (int y = 1; y <= height_; ++y)
    for (const std::uint8_t v :
         levels.subspan(static_cast<std::size_t>(y * stride_ + 1), static_cast<std::size_t>(width_)))
      ++begin_[std::size_t{v} + 1];
  for (std::size_t v = 0; v < 256; ++v) begin_[v + 1] += begin_[v];
  std::array<std::int32_t, 256> next;
  std::copy_n(begin_.begin(), 256, next.begin());
  for (std::int32_t y = 0; y < height_; ++y) {
    const std::uint8_t* row = levels.data() + (y + 1) * std::ptrdiff_t{stride_} + 1;
    for (std::int32_t x = 0; x < width_; ++x) sorted_[static_cast<std::size_t>(next[row[x]]++)] = y << 16 | x;
  }
}

// The level at which each pixel is reached from the frame by the lowest 4-connected way. Two walks over the rows find
// it for most pixels (Vincent's hybrid algorithm); the rest is corrected from the lowest level up, so that no pixel is
// visited after it has its final level.
void LevelSets::fill_basins() {
  filled_.assign(padded_.size(), 0);
  for (int y = 1; y <= height_; ++y)
    std::fill_n(filled_.begin() + y * std::ptrdiff_t{stride_} + 1, width_, std::uint8_t{255});
  std::uint8_t* const filled = filled_.data();
  const std::uint8_t* const bytes = padded_.data();
  for (int y = 1; y <= height_; ++y) {
    for (std::ptrdiff_t i = y * std::ptrdiff_t{stride_} + 1, end = i + width_; i < end; ++i)
      filled[i] = std::max(bytes[i], std::min({filled[i], filled[i - 1], filled[i - stride_]}));
  }
  for (int y = height_; y >= 1; --y) {
    for (std::ptrdiff_t i = y * std::ptrdiff_t{stride_} + width_, end = i - width_; i > end; --i) {
      const std::uint8_t level = std::max(bytes[i], std::min({filled[i], filled[i + 1], filled[i + stride_]}));
      filled[i] = level;
      for (const std::ptrdiff_t q : {i + 1, i + stride_})
        if (filled[q] > std::max(bytes[q], level)) {
          queue_[level].push_back(static_cast<std::int32_t>(i));
          break;
        }
    }
  }
  for (std::size_t level = 0; level < 256; ++level) {
    auto& queue = queue_[level];
    while (!queue.empty()) {
      const std::int32_t pixel = queue.back();
      queue.pop_back();
      if (filled[pixel] != level) continue;  // lowered since, and queued again for that
      for (const std::int32_t q : {pixel - stride_, pixel - 1, pixel + 1, pixel + stride_}) {
        const std::uint8_t reached = std::max(bytes[q], static_cast<std::uint8_t>(level));
        if (filled[q] <= reached) continue;
        filled[q] = reached;
        queue_[reached].push_back(q);
      }
    }
  }
}

Box LevelSets::box_of(const Node& node, int margin) const {
  return {node.x0 - margin, node.y0 - margin, std::min(node.x1 + margin + 1, width_ - 1),
          std::min(node.y1 + margin + 1, height_ - 1)};
}

// A pixel appears at the cut `now`, and joins the components that it touches. changes: created(root), gone(root), and
// ended(node) for bounds that were those of a component up to the cut before (or, for nodes of this cut, never).
template <int Connectivity, class Changes>
void LevelSets::add(std::int32_t place, std::int32_t now, Changes& changes) {
  const int y = place >> 16, x = place & 0xffff;
  std::int32_t* const label = label_.data() + (y + 1) * std::ptrdiff_t{stride_} + x + 1;
  // Column x of the map is bit x + 1 of its row, and row y is row y + 1: bits x to x + 2 of rows y to y + 2.
  std::uint8_t* const bits = there_.data() + y * std::ptrdiff_t{pitch_} + x / 8;
  const unsigned above = two_bytes(bits), middle = two_bytes(bits + pitch_), below = two_bytes(bits + 2 * pitch_);
  const unsigned there = (above >> x % 8 & 7) | (middle >> x % 8 & 7) << 3 | (below >> x % 8 & 7) << 6;
  const auto with_it = static_cast<std::uint16_t>(middle | 2u << x % 8);
  std::memcpy(bits + pitch_, &with_it, sizeof with_it);
  const Meeting& met = (Connectivity == 4 ? meetings_of_4 : meetings_of_8)[there];
  if (met.count == 0) {
    const auto created = static_cast<std::int32_t>(joined_.size());
    *label = created;
    joined_.push_back(created);
    nodes_.push_back({x, y, x, y, now, 1, place, 0, 0});
    changes.created(created);
    return;
  }
  std::int32_t own = root(label[step_[met.of[0]]]);
  *label = own;
  Node* node = &nodes_[static_cast<std::size_t>(own)];
  if (x < node->x0 || x > node->x1 || y < node->y0 || y > node->y1) {
    if (node->since != now) changes.ended(*node);
    node->x0 = std::min(node->x0, x);
    node->y0 = std::min(node->y0, y);
    node->x1 = std::max(node->x1, x);
    node->y1 = std::max(node->y1, y);
    node->since = now;
  }
  ++node->size;
  // A 2x2 square adds half a pixel's area with its third pixel, and with its fourth.
  node->area += met.squares;
  node->first = std::min(node->first, place);
  for (std::size_t g = 1; g < met.count; ++g) {
    std::int32_t other = root(label[step_[met.of[g]]]);
    if (other == own) continue;
    if (nodes_[static_cast<std::size_t>(own)].size < nodes_[static_cast<std::size_t>(other)].size)
      std::swap(own, other);
    joined_[static_cast<std::size_t>(other)] = own;
    Node &to = nodes_[static_cast<std::size_t>(own)], &from = nodes_[static_cast<std::size_t>(other)];
    if (from.since != now) changes.ended(from);
    if (from.x0 < to.x0 || from.y0 < to.y0 || from.x1 > to.x1 || from.y1 > to.y1) {
      if (to.since != now) changes.ended(to);
      to.x0 = std::min(to.x0, from.x0);
      to.y0 = std::min(to.y0, from.y0);
      to.x1 = std::max(to.x1, from.x1);
      to.y1 = std::max(to.y1, from.y1);
      to.since = now;
    }
    to.size += from.size;
    to.area += from.area;
    to.first = std::min(to.first, from.first);
    changes.gone(other);
  }
}

LargestBoxes LevelSets::largest() {
  fill_basins();
  sort(filled_);
  forget_components();
  roots_.clear();
  // The list of all components.
  struct Changes {
    std::vector<Node>& nodes;
    std::vector<std::int32_t>& roots;
    void ended(const Node&) {}
    void created(std::int32_t root) {
      nodes[static_cast<std::size_t>(root)].place = static_cast<std::int32_t>(roots.size());
      roots.push_back(root);
    }
    void gone(std::int32_t root) {
      const std::int32_t place = nodes[static_cast<std::size_t>(root)].place;
      nodes[static_cast<std::size_t>(roots.back())].place = place;
      roots[static_cast<std::size_t>(place)] = roots.back();
      roots.pop_back();
    }
  } changes{nodes_, roots_};
  LargestBoxes boxes{};
  for (int level = top_; level > 0; --level) {
    const auto v = static_cast<std::size_t>(level);
    if (level < top_ && begin_[v] == begin_[v + 1]) {  // no pixel of this level: the same cut
      boxes[v - 1] = boxes[v];
      continue;
    }
    for (std::int32_t k = begin_[v]; k < begin_[v + 1]; ++k)
      add<8>(sorted_[static_cast<std::size_t>(k)], level - 1, changes);
    const Node* best = nullptr;
    for (const std::int32_t i : roots_) {
      const Node& candidate = nodes_[static_cast<std::size_t>(i)];
      if (!best || candidate.area > best->area || (candidate.area == best->area && candidate.first > best->first))
        best = &candidate;
    }
    boxes[v - 1] = box_of(*best, 0);
  }
  return boxes;
}

void LevelSets::contours(const Visit& visit) {
  sort(padded_);
  sweep<false>(visit);
  sweep<true>(visit);
}

// Outer contours from the top down, adding the pixels of {byte > T}; holes from the bottom up, adding {byte <= T}.
template <bool Holes>
void LevelSets::sweep(const Visit& visit) {
  forget_components();
  struct Changes {
    const LevelSets& sets;
    const Visit& visit;
    std::int32_t now = 0;
    void created(std::int32_t) {}
    void gone(std::int32_t) {}
    void ended(const Node& node) {
      if (Holes && !sets.reaches_frame(node)) visit(sets.box_of(node, 1), node.since, now - 1);
      if (!Holes) visit(sets.box_of(node, 0), now + 1, node.since);
    }
  } changes{*this, visit};
  for (int step = 0; step < top_; ++step) {
    const std::int32_t level = Holes ? step : top_ - step;
    changes.now = Holes ? level : level - 1;
    const auto v = static_cast<std::size_t>(level);
    for (std::int32_t k = begin_[v]; k < begin_[v + 1]; ++k)
      add<Holes ? 4 : 8>(sorted_[static_cast<std::size_t>(k)], changes.now, changes);
  }
  // What is left was there to the end.
  changes.now = Holes ? top_ : -1;
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (joined_[i] == static_cast<std::int32_t>(i)) changes.ended(nodes_[i]);
}

}  // namespace pen::eval::wsol
