// One sample scene: a garment of Fashion-MNIST among clutter, with its exact mask and box.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "data/boxes.h"

namespace pen {

// A garment cut out of a 28x28 picture, with a margin: shade 0..1 (goes on beyond the outline), cover 0..1.
struct Cutout {
  static constexpr int kSource = 28, kMargin = 4, kSide = kSource + 2 * kMargin;
  std::array<float, kSide * kSide> shade{}, cover{};
  int area = 0;  // pixels with cover
};

// pixels: 28x28, dark background. see_through: holes in the outline stay open (a sandal's straps, a bag's handle).
Cutout cut_out(std::span<const std::uint8_t> pixels, bool see_through);

struct SceneStyle {
  std::int64_t size = 112;                        // side of the square scene in pixels
  double garment_min = 0.40, garment_max = 0.75;  // longer side of the garment's box, as a share of the side
  int clutter_min = 6, clutter_max = 11;          // pieces and shapes
};

struct Scene {
  std::vector<std::uint8_t> rgb;   // (size, size, 3)
  std::vector<std::uint8_t> mask;  // (size, size): 255 on the garment, else 0
  Box box;                         // bounds of the mask, xmax and ymax exclusive
};

// Paints, back to front: a smooth background, clutter with soft shadows (patches cut from `pieces` and plain shapes,
// in the same range of tints, patterns and shading as the garment), the garment whole and in front, light and noise.
// A pure function of its arguments and of rng's state.
Scene paint_scene(const Cutout& garment, std::span<const Cutout> pieces, const SceneStyle& style, Rng& rng);

}  // namespace pen
