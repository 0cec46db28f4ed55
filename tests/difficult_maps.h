// Maps of bytes whose contours are difficult to find.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/rng.h"

namespace pen::test {

// Maps made to be nasty, (side, side): what nests, touches at corners, lies on the frame or ties.
inline std::vector<std::uint8_t> nasty_map(int kind, int side, Rng& rng) {
  std::vector<std::uint8_t> map(static_cast<std::size_t>(side * side));
  const auto at = [&](int y, int x) -> std::uint8_t& { return map[static_cast<std::size_t>(y * side + x)]; };
  const auto level = [&] { return static_cast<std::uint8_t>(1 + rng.below(255)); };
  if (kind == 0)  // square rings in rings, each of its own level, some of them dark: holes in holes
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x) {
        const int ring = std::min({y, x, side - 1 - y, side - 1 - x});
        at(y, x) =
            ring % 2 ? static_cast<std::uint8_t>(37 * ring % 90) : static_cast<std::uint8_t>(255 - 53 * ring % 120);
      }
  if (kind == 1) {  // a maze: walks that leave one-pixel walls
    int y = side / 2, x = side / 2;
    for (int k = 0; k < side * side; ++k) {
      const int way = static_cast<int>(rng.below(4)),
                dy = way == 0   ? -2
                     : way == 1 ? 2
                                : 0,
                dx = way == 2   ? -2
                     : way == 3 ? 2
                                : 0;
      if (y + dy < 0 || y + dy >= side || x + dx < 0 || x + dx >= side) continue;
      at(y + dy / 2, x + dx / 2) = at(y + dy, x + dx) = static_cast<std::uint8_t>(120 + 45 * rng.below(4));
      y += dy, x += dx;
    }
  }
  if (kind == 2)  // single pixels, as many at corners of others as not
    for (int k = 0; k < side * side / 5; ++k) {
      const int y = static_cast<int>(rng.below(static_cast<std::uint64_t>(side - 1))),
                x = static_cast<int>(rng.below(static_cast<std::uint64_t>(side - 1)));
      at(y, x) = level();
      if (rng.below(2)) at(y + 1, x + 1) = at(y, x);
    }
  if (kind == 3) {  // blobs of equal size and level: ties of area; some on the frame
    for (int y = 0; y < side; y += 4)
      for (int x = 0; x < side; x += 4) {
        const auto v = static_cast<std::uint8_t>(80 * (1 + rng.below(3)));
        for (int i = 0; i < 3; ++i)
          for (int j = 0; j < 3; ++j)
            if (y + i < side && x + j < side && (i != 1 || j != 1 || rng.below(2))) at(y + i, x + j) = v;
      }
  }
  if (kind == 4)  // the frame alone, broken here and there, with an island
    for (int k = 0; k < side; ++k) {
      for (std::uint8_t* edge : {&at(0, k), &at(side - 1, k), &at(k, 0), &at(k, side - 1)})
        *edge = rng.below(8) ? 200 : static_cast<std::uint8_t>(40 * rng.below(3));
      if (k > 2 && k < side - 3) at(side / 2, k) = 255;
    }
  if (kind == 5) {  // terraces: a smooth hill in few steps, so that plateaus meet plateaus
    const double cx = rng.uniform(0, side), cy = rng.uniform(0, side), wave = rng.uniform(3, 12);
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x) {
        const double d = std::hypot(x - cx, y - cy) / side;
        at(y, x) = static_cast<std::uint8_t>(
            31 * static_cast<int>(std::clamp(8 * (1 - d) + std::sin(x / wave) + std::cos(y / wave), 0.0, 8.0)));
      }
  }
  if (kind == 6)  // holes that open through a diagonal only: outside for the frame's 8 neighbours, inside for 4
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x)
        at(y, x) = (x % 3 == 1 && y % 3 == 1) || x == y ? static_cast<std::uint8_t>(rng.below(3) * 60) : 220;
  if (kind == 7) {  // a comb and a spiral
    int top = 0, left = 0, bottom = side - 1, right = side - 1;
    std::uint8_t v = 250;
    while (top <= bottom && left <= right) {
      for (int x = left; x <= right; ++x) at(top, x) = v;
      for (int y = top; y <= bottom; ++y) at(y, right) = v;
      for (int x = left; x <= right; ++x) at(bottom, x) = v;
      for (int y = top + 2; y <= bottom; ++y) at(y, left) = v;
      top += 2, left += 2, bottom -= 2, right -= 2;
      v = static_cast<std::uint8_t>(v > 20 ? v - 9 : v);
    }
  }
  return map;
}

// Maps of every kind that make contours difficult: noise, steps, rings, diagonal contacts, plateaus, single lines.
inline std::vector<std::uint8_t> odd_map(int kind, int height, int width, Rng& rng) {
  std::vector<std::uint8_t> map(static_cast<std::size_t>(height * width));
  const double cx = rng.uniform(0, width), cy = rng.uniform(0, height), period = rng.uniform(2, 9);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double d = std::hypot(x - cx, y - cy);
      double v = 0;
      if (kind == 0) v = rng.uniform(0, 256);
      if (kind == 1) v = static_cast<double>(rng.below(2) * 200);
      if (kind == 2) v = static_cast<double>(rng.below(4) * 60 + 10);
      if (kind == 3) v = 127 + 127 * std::cos(d * 6.28 / period);
      if (kind == 4) v = 255 * std::exp(-d * d / 50) + rng.uniform(0, 20);
      if (kind == 5) v = rng.below(6) == 0 ? 255 : 0;
      if (kind == 6) v = (x + y) % 2 ? rng.uniform(0, 256) : 0;
      if (kind == 7) v = y % 2 ? 100 + 10 * (x / 4 % 3) : 0;
      map[static_cast<std::size_t>(y * width + x)] = static_cast<std::uint8_t>(std::clamp(v, 0.0, 255.0));
    }
  }
  return map;
}

}  // namespace pen::test
