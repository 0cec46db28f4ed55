#include "eval/wsol/level_sets.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace pen::eval::wsol {

void to_bytes(std::span<const double> scores, std::span<std::uint8_t> bytes) {
  PEN_CHECK(scores.size() == bytes.size(), "bytes of a map: ", scores.size(), " scores, room for ", bytes.size());
  for (std::size_t i = 0; i < scores.size(); ++i) bytes[i] = static_cast<std::uint8_t>(scores[i] * 255);
}

void LevelSets::set(std::span<const std::uint8_t> bytes, int height, int width) {
  PEN_CHECK(height >= 1 && width >= 1 && height <= 4096 && width <= 4096, "map of ", height, " x ", width,
            ": each side must be 1 to 4096");
  PEN_CHECK(bytes.size() == static_cast<std::size_t>(height) * static_cast<std::size_t>(width), "map has ",
            bytes.size(), " values, expected ", height, " x ", width);
  bytes_ = bytes;
  height_ = height;
  width_ = width;
  top_ = *std::max_element(bytes.begin(), bytes.end());
  nodes_.resize(bytes.size());
  parent_.resize(bytes.size());
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
  for (const std::uint8_t v : levels) ++begin_[static_cast<std::size_t>(v) + 1];
  for (std::size_t v = 0; v < 256; ++v) begin_[v + 1] += begin_[v];
  std::array<std::int32_t, 256> next;
  std::copy_n(begin_.begin(), 256, next.begin());
  for (std::size_t i = 0; i < levels.size(); ++i)
    sorted_[static_cast<std::size_t>(next[levels[i]]++)] = static_cast<std::int32_t>(i);
}

// The level at which each pixel is reached from the frame by the lowest 4-connected way.
void LevelSets::fill_basins() {
  filled_.resize(bytes_.size());
  std::fill(parent_.begin(), parent_.end(), 0);  // 1: queued
  const auto push = [&](std::int32_t pixel, std::uint8_t from) {
    const auto i = static_cast<std::size_t>(pixel);
    if (parent_[i]) return;
    parent_[i] = 1;
    filled_[i] = std::max(bytes_[i], from);
    queue_[filled_[i]].push_back(pixel);
  };
  for (std::int32_t x = 0; x < width_; ++x) {
    push(x, 0);
    push((height_ - 1) * width_ + x, 0);
  }
  for (std::int32_t y = 0; y < height_; ++y) {
    push(y * width_, 0);
    push(y * width_ + width_ - 1, 0);
  }
  for (std::size_t level = 0; level < 256; ++level) {
    auto& queue = queue_[level];
    while (!queue.empty()) {
      const std::int32_t pixel = queue.back();
      queue.pop_back();
      neighbours<4>(pixel, [&](std::int32_t q) { push(q, static_cast<std::uint8_t>(level)); });
    }
  }
}

// A 2x2 square adds half a pixel's area at the level of its third pixel, and at that of its fourth: the gains of a
// component's pixels sum up to twice its area.
void LevelSets::count_areas() {
  gain_.assign(bytes_.size(), 0);
  for (std::int32_t y = 0; y + 1 < height_; ++y) {
    for (std::int32_t x = 0; x + 1 < width_; ++x) {
      const auto i = static_cast<std::size_t>(y * width_ + x);
      const std::array<std::size_t, 4> at{i, i + 1, i + static_cast<std::size_t>(width_),
                                          i + static_cast<std::size_t>(width_) + 1};
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

// Makes one component of the two roots; bounds and sums go to the one that is returned.
std::int32_t LevelSets::join(std::int32_t a, std::int32_t b) {
  if (nodes_[static_cast<std::size_t>(a)].size < nodes_[static_cast<std::size_t>(b)].size) std::swap(a, b);
  Node &to = nodes_[static_cast<std::size_t>(a)], &from = nodes_[static_cast<std::size_t>(b)];
  parent_[static_cast<std::size_t>(b)] = a;
  to.x0 = std::min(to.x0, from.x0);
  to.y0 = std::min(to.y0, from.y0);
  to.x1 = std::max(to.x1, from.x1);
  to.y1 = std::max(to.y1, from.y1);
  to.size += from.size;
  to.area += from.area;
  to.first = std::min(to.first, from.first);
  to.outside |= from.outside;
  return a;
}

LargestBoxes LevelSets::largest() {
  fill_basins();
  count_areas();
  sort(filled_);
  std::fill(parent_.begin(), parent_.end(), -1);
  roots_.clear();
  LargestBoxes boxes{};
  for (int level = top_; level > 0; --level) {
    const auto v = static_cast<std::size_t>(level);
    for (std::int32_t k = begin_[v]; k < begin_[v + 1]; ++k) {
      const std::int32_t pixel = sorted_[static_cast<std::size_t>(k)], y = pixel / width_, x = pixel - y * width_;
      const auto i = static_cast<std::size_t>(pixel);
      parent_[i] = pixel;
      Node& alone = nodes_[i] = {x, y, x, y};
      alone.first = pixel;
      alone.area = gain_[i];
      alone.place = static_cast<std::int32_t>(roots_.size());
      roots_.push_back(pixel);
      std::int32_t own = pixel;
      neighbours<8>(pixel, [&](std::int32_t q) {
        if (parent_[static_cast<std::size_t>(q)] < 0) return;
        const std::int32_t other = root(q);
        if (other == own) return;
        const std::int32_t kept = join(own, other), gone = kept == own ? other : own;
        const std::int32_t place = nodes_[static_cast<std::size_t>(gone)].place;
        nodes_[static_cast<std::size_t>(roots_.back())].place = place;
        roots_[static_cast<std::size_t>(place)] = roots_.back();
        roots_.pop_back();
        own = kept;
      });
    }
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
  sort(bytes_);
  sweep<false>(visit);
  sweep<true>(visit);
}

// Outer contours from the top down, adding the pixels of {byte > T}; holes from the bottom up, adding {byte <= T}.
template <bool Holes>
void LevelSets::sweep(const Visit& visit) {
  constexpr int connectivity = Holes ? 4 : 8, margin = Holes ? 1 : 0;
  std::fill(parent_.begin(), parent_.end(), -1);
  // A box that ends: it was there from T = since to the T before this one.
  const auto ends = [&](const Node& node, std::int32_t now) {
    if (node.outside || node.since == now) return;
    const Box box = box_of(node, margin);
    Holes ? visit(box, node.since, now - 1) : visit(box, now + 1, node.since);
  };
  for (int step = 0; step < top_; ++step) {
    const std::int32_t level = Holes ? step : top_ - step, now = Holes ? level : level - 1;
    const auto v = static_cast<std::size_t>(level);
    for (std::int32_t k = begin_[v]; k < begin_[v + 1]; ++k) {
      const std::int32_t pixel = sorted_[static_cast<std::size_t>(k)], y = pixel / width_, x = pixel - y * width_;
      parent_[static_cast<std::size_t>(pixel)] = pixel;
      Node& alone = nodes_[static_cast<std::size_t>(pixel)] = {x, y, x, y, now};
      alone.outside = Holes && (x == 0 || y == 0 || x + 1 == width_ || y + 1 == height_);
      std::int32_t own = pixel;
      neighbours<connectivity>(pixel, [&](std::int32_t q) {
        if (parent_[static_cast<std::size_t>(q)] < 0) return;
        const std::int32_t other = root(q);
        if (other == own) return;
        const Node a = nodes_[static_cast<std::size_t>(own)], b = nodes_[static_cast<std::size_t>(other)];
        own = join(own, other);
        Node& both = nodes_[static_cast<std::size_t>(own)];
        const auto same = [&](const Node& n) {
          return !both.outside && n.x0 == both.x0 && n.y0 == both.y0 && n.x1 == both.x1 && n.y1 == both.y1;
        };
        both.since = now;
        if (same(a)) {
          both.since = a.since;
          ends(b, now);
        } else if (same(b)) {
          both.since = b.since;
          ends(a, now);
        } else {
          ends(a, now);
          ends(b, now);
        }
      });
    }
  }
  const std::int32_t end = Holes ? top_ : -1;
  for (std::int32_t i = 0; i < height_ * width_; ++i)
    if (parent_[static_cast<std::size_t>(i)] == i) ends(nodes_[static_cast<std::size_t>(i)], end);
}

}  // namespace pen::eval::wsol
