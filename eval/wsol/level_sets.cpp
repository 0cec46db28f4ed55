#include "eval/wsol/level_sets.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/check.h"

namespace pen::eval::wsol {

void to_bytes(std::span<const double> scores, std::span<std::uint8_t> bytes) {
  PEN_CHECK(scores.size() == bytes.size(), "bytes of a map: ", scores.size(), " scores, room for ", bytes.size());
  for (std::size_t i = 0; i < scores.size(); ++i) bytes[i] = static_cast<std::uint8_t>(scores[i] * 255);
}

namespace {

// The neighbours of a pixel, clockwise from the one above: (column, row) steps.
constexpr std::array<std::array<int, 2>, 8> ring = {
    {{0, -1}, {1, -1}, {1, 0}, {1, 1}, {0, 1}, {-1, 1}, {-1, 0}, {-1, -1}}};

// For each set of neighbours that are there (bit k: ring[k]) one of each connected group, so that only these have to be
// asked for their component. With 4-connectivity the groups are joined through the corners, but only the four direct
// neighbours touch the pixel.
struct Groups {
  std::uint8_t count = 0;
  std::array<std::uint8_t, 4> of{};
};
std::array<Groups, 256> groups_of(int connectivity) {
  std::array<Groups, 256> table;
  for (std::size_t set = 0; set < 256; ++set) {
    std::array<std::size_t, 8> label{};
    for (std::size_t k = 0; k < 8; ++k) label[k] = k;
    const auto touch = [&](std::size_t a, std::size_t b) {
      const int dx = std::abs(ring[a][0] - ring[b][0]), dy = std::abs(ring[a][1] - ring[b][1]);
      return connectivity == 8 ? std::max(dx, dy) == 1 : dx + dy == 1;
    };
    for (int pass = 0; pass < 8; ++pass)
      for (std::size_t a = 0; a < 8; ++a)
        for (std::size_t b = 0; b < 8; ++b)
          if ((set >> a & 1) && (set >> b & 1) && touch(a, b)) label[a] = label[b] = std::min(label[a], label[b]);
    for (std::size_t k = 0; k < 8; k += connectivity == 8 ? 1 : 2) {
      if (!(set >> k & 1)) continue;
      bool known = false;
      for (std::size_t g = 0; g < table[set].count; ++g) known |= label[table[set].of[g]] == label[k];
      if (!known) table[set].of[table[set].count++] = static_cast<std::uint8_t>(k);
    }
  }
  return table;
}

template <int Connectivity>
const Groups& groups(std::size_t set) {
  static const std::array<Groups, 256> table = groups_of(Connectivity);
  return table[set];
}

}  // namespace

void LevelSets::set(std::span<const std::uint8_t> bytes, int height, int width) {
  PEN_CHECK(height >= 1 && width >= 1 && height <= 4096 && width <= 4096, "map of ", height, " x ", width,
            ": each side must be 1 to 4096");
  PEN_CHECK(bytes.size() == static_cast<std::size_t>(height) * static_cast<std::size_t>(width), "map has ",
            bytes.size(), " values, expected ", height, " x ", width);
  bytes_ = bytes;
  height_ = height;
  width_ = width;
  stride_ = width + 2;
  top_ = *std::max_element(bytes.begin(), bytes.end());
  const std::size_t all = static_cast<std::size_t>(height + 2) * static_cast<std::size_t>(stride_);
  padded_.assign(all, 0);
  for (int y = 0; y < height; ++y)
    std::copy_n(bytes.begin() + y * std::ptrdiff_t{width}, width,
                padded_.begin() + (y + 1) * std::ptrdiff_t{stride_} + 1);
  nodes_.resize(all);
  parent_.resize(all);
  sorted_.resize(bytes.size());
}

std::int32_t LevelSets::root(std::int32_t pixel) {
  auto* parent = parent_.data();
  while (parent[pixel] != pixel) {
    parent[pixel] = parent[parent[pixel]];
    pixel = parent[pixel];
  }
  return pixel;
}

void LevelSets::sort(std::span<const std::uint8_t> levels) {
  begin_.fill(0);
  for (int y = 1; y <= height_; ++y)
    for (int x = 1; x <= width_; ++x)
      ++begin_[static_cast<std::size_t>(levels[static_cast<std::size_t>(y * stride_ + x)]) + 1];
  for (std::size_t v = 0; v < 256; ++v) begin_[v + 1] += begin_[v];
  std::array<std::int32_t, 256> next;
  std::copy_n(begin_.begin(), 256, next.begin());
  for (std::int32_t y = 1; y <= height_; ++y) {
    for (std::int32_t x = 1; x <= width_; ++x) {
      const std::int32_t i = y * stride_ + x;
      sorted_[static_cast<std::size_t>(next[levels[static_cast<std::size_t>(i)]]++)] = i;
    }
  }
}

// The level at which each pixel is reached from the frame by the lowest 4-connected way.
void LevelSets::fill_basins() {
  filled_.assign(padded_.size(), 0);
  std::fill(parent_.begin(), parent_.end(), 1);  // 1: queued already, or in the frame
  for (int y = 1; y <= height_; ++y) std::fill_n(parent_.begin() + y * std::ptrdiff_t{stride_} + 1, width_, 0);
  const auto push = [&](std::int32_t pixel, std::uint8_t from) {
    const auto i = static_cast<std::size_t>(pixel);
    if (parent_[i]) return;
    parent_[i] = 1;
    filled_[i] = std::max(padded_[i], from);
    queue_[filled_[i]].push_back(pixel);
  };
  for (std::int32_t x = 1; x <= width_; ++x) {
    push(stride_ + x, 0);
    push(height_ * stride_ + x, 0);
  }
  for (std::int32_t y = 1; y <= height_; ++y) {
    push(y * stride_ + 1, 0);
    push(y * stride_ + width_, 0);
  }
  for (std::size_t level = 0; level < 256; ++level) {
    auto& queue = queue_[level];
    while (!queue.empty()) {
      const std::int32_t pixel = queue.back();
      queue.pop_back();
      for (const std::int32_t step : {-stride_, -1, 1, stride_}) push(pixel + step, static_cast<std::uint8_t>(level));
    }
  }
}

// A 2x2 square adds half a pixel's area at the level of its third pixel, and at that of its fourth: the gains of a
// component's pixels sum up to twice its area.
void LevelSets::count_areas() {
  gain_.assign(padded_.size(), 0);
  for (std::int32_t y = 1; y < height_; ++y) {
    for (std::int32_t x = 1; x < width_; ++x) {
      const auto i = static_cast<std::size_t>(y * stride_ + x), below = i + static_cast<std::size_t>(stride_);
      const std::array<std::size_t, 4> at{i, i + 1, below, below + 1};
      const auto [a, A] = std::minmax(filled_[at[0]], filled_[at[1]]);
      const auto [b, B] = std::minmax(filled_[at[2]], filled_[at[3]]);
      const std::uint8_t fourth = std::min(a, b), third = std::min(std::max(a, b), std::min(A, B));
      for (const std::uint8_t level : {third, fourth}) {
        std::size_t k = 0;
        while (filled_[at[k]] != level) ++k;
        ++gain_[at[k]];
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
template <int Connectivity, bool Areas, class Changes>
void LevelSets::add(std::int32_t pixel, std::int32_t now, Changes& changes) {
  std::array<std::int32_t, 8> at;
  std::size_t there = 0;
  for (std::size_t k = 0; k < 8; ++k) {
    at[k] = pixel + ring[k][1] * stride_ + ring[k][0];
    there |= static_cast<std::size_t>(parent_[static_cast<std::size_t>(at[k])] >= 0) << k;
  }
  const Groups& touched = groups<Connectivity>(there);
  const std::int32_t y = pixel / stride_ - 1, x = pixel % stride_ - 1;
  const bool outside = x == 0 || y == 0 || x + 1 == width_ || y + 1 == height_;
  const std::int32_t gain = Areas ? gain_[static_cast<std::size_t>(pixel)] : 0;
  if (touched.count == 0) {
    parent_[static_cast<std::size_t>(pixel)] = pixel;
    nodes_[static_cast<std::size_t>(pixel)] = {x, y, x, y, now, 1, outside, pixel, gain, 0};
    changes.created(pixel);
    return;
  }
  std::int32_t own = root(at[touched.of[0]]);
  parent_[static_cast<std::size_t>(pixel)] = own;
  Node* node = &nodes_[static_cast<std::size_t>(own)];
  if (x < node->x0 || x > node->x1 || y < node->y0 || y > node->y1 || (outside && !node->outside)) {
    if (node->since != now) changes.ended(*node);
    node->x0 = std::min(node->x0, x);
    node->y0 = std::min(node->y0, y);
    node->x1 = std::max(node->x1, x);
    node->y1 = std::max(node->y1, y);
    node->since = now;
    node->outside |= outside;
  }
  ++node->size;
  node->area += gain;
  node->first = std::min(node->first, pixel);
  for (std::size_t g = 1; g < touched.count; ++g) {
    std::int32_t other = root(at[touched.of[g]]);
    if (other == own) continue;
    if (nodes_[static_cast<std::size_t>(own)].size < nodes_[static_cast<std::size_t>(other)].size)
      std::swap(own, other);
    parent_[static_cast<std::size_t>(other)] = own;
    Node &to = nodes_[static_cast<std::size_t>(own)], &from = nodes_[static_cast<std::size_t>(other)];
    if (from.since != now) changes.ended(from);
    if (from.x0 < to.x0 || from.y0 < to.y0 || from.x1 > to.x1 || from.y1 > to.y1 || from.outside != to.outside) {
      if (to.since != now) changes.ended(to);
      to.x0 = std::min(to.x0, from.x0);
      to.y0 = std::min(to.y0, from.y0);
      to.x1 = std::max(to.x1, from.x1);
      to.y1 = std::max(to.y1, from.y1);
      to.since = now;
      to.outside |= from.outside;
    }
    to.size += from.size;
    to.area += from.area;
    to.first = std::min(to.first, from.first);
    changes.gone(other);
  }
}

LargestBoxes LevelSets::largest() {
  fill_basins();
  count_areas();
  sort(filled_);
  std::fill(parent_.begin(), parent_.end(), -1);
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
      add<8, true>(sorted_[static_cast<std::size_t>(k)], level - 1, changes);
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
  std::fill(parent_.begin(), parent_.end(), -1);
  struct Changes {
    const LevelSets& sets;
    const Visit& visit;
    std::int32_t now = 0;
    void created(std::int32_t) {}
    void gone(std::int32_t) {}
    void ended(const Node& node) {
      if (Holes && !node.outside) visit(sets.box_of(node, 1), node.since, now - 1);
      if (!Holes) visit(sets.box_of(node, 0), now + 1, node.since);
    }
  } changes{*this, visit};
  for (int step = 0; step < top_; ++step) {
    const std::int32_t level = Holes ? step : top_ - step;
    changes.now = Holes ? level : level - 1;
    const auto v = static_cast<std::size_t>(level);
    for (std::int32_t k = begin_[v]; k < begin_[v + 1]; ++k)
      add<Holes ? 4 : 8, false>(sorted_[static_cast<std::size_t>(k)], changes.now, changes);
  }
  // What is left was there to the end.
  changes.now = Holes ? top_ : -1;
  for (std::int32_t y = 1; y <= height_; ++y)
    for (std::int32_t i = y * stride_ + 1; i <= y * stride_ + width_; ++i)
      if (parent_[static_cast<std::size_t>(i)] == i) changes.ended(nodes_[static_cast<std::size_t>(i)]);
}

}  // namespace pen::eval::wsol
