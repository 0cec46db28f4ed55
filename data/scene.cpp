#include "data/scene.h"

#include <limits>
#include <utility>

#include "base/check.h"
#include "data/scene_paint.h"

namespace pen {
namespace {

using namespace paint;

// Bounds of a cut-out's fabric in its own axes turned by (cos, sin), in source pixels.
struct Extent {
  float low_p = 1e9f, high_p = -1e9f, low_q = 1e9f, high_q = -1e9f;
  float width() const { return high_p - low_p; }
  float height() const { return high_q - low_q; }
};

Extent extent(const Cutout& cutout, float cos, float sin, bool mirrored) {
  Extent e;
  for (int y = 0; y < Cutout::kSide; ++y)
    for (int x = 0; x < Cutout::kSide; ++x) {
      if (cutout.cover[static_cast<std::size_t>(y * Cutout::kSide + x)] == 0) continue;
      const float u = (static_cast<float>(x) + 0.5f - Cutout::kSide / 2.f) * (mirrored ? -1.f : 1.f);
      const float v = static_cast<float>(y) + 0.5f - Cutout::kSide / 2.f;
      const float p = u * cos - v * sin, q = u * sin + v * cos;  // on the canvas, at scale 1
      e.low_p = std::min(e.low_p, p - 0.5f);
      e.high_p = std::max(e.high_p, p + 0.5f);
      e.low_q = std::min(e.low_q, q - 0.5f);
      e.high_q = std::max(e.high_q, q + 0.5f);
    }
  return e;
}

Placed placed(const Cutout& cutout, float angle, bool mirrored) {
  Placed out;
  out.cutout = &cutout;
  out.cos = std::cos(angle);
  out.sin = std::sin(angle);
  out.mirrored = mirrored;
  out.sx = out.sy = Cutout::kSide / 2.f;
  return out;
}

// The whole garment, a little turned, anywhere inside the scene.
Placed place_garment(const Cutout& cutout, const SceneStyle& style, Rng& rng) {
  Placed out = placed(cutout, uniform(rng, -0.3, 0.3), rng.bernoulli(0.5));
  const Extent e = extent(cutout, out.cos, out.sin, out.mirrored);
  const auto side = static_cast<float>(style.size);
  out.scale = side * uniform(rng, style.garment_min, style.garment_max) / std::max(e.width(), e.height());
  // (cx, cy) is where the source's middle lands: the fabric keeps a pixel from the scene's border
  const float w = e.width() * out.scale, h = e.height() * out.scale;
  out.cx = 1 + uniform(rng, 0, 1) * std::max(0.f, side - 2 - w) - e.low_p * out.scale;
  out.cy = 1 + uniform(rng, 0, 1) * std::max(0.f, side - 2 - h) - e.low_q * out.scale;
  out.radius = out.scale * Cutout::kSide;
  return out;
}

// A rectangular patch of some garment: enough fabric to look like one, too little to tell which. Its sides are a third
// to six tenths of the garment's, so that at most about a third of the fabric is left.
Placed place_patch(const Cutout& cutout, const SceneStyle& style, Rng& rng) {
  Placed out = placed(cutout, uniform(rng, 0, 6.2831853), rng.bernoulli(0.5));
  const Extent e = extent(cutout, 1, 0, false);
  const auto side = static_cast<float>(style.size);
  out.scale = side * uniform(rng, style.garment_min, style.garment_max) /
              std::max({e.width(), e.height(), Cutout::kSource / 2.f});
  out.half_width = e.width() * uniform(rng, 0.17, 0.3);
  out.half_height = e.height() * uniform(rng, 0.17, 0.3);
  out.sx += uniform(rng, e.low_p + out.half_width, e.high_p - out.half_width);
  out.sy += uniform(rng, e.low_q + out.half_height, e.high_q - out.half_height);
  out.cx = uniform(rng, 0, side);
  out.cy = uniform(rng, 0, side);
  out.radius = out.scale * std::hypot(out.half_width + 1, out.half_height + 1);
  return out;
}

Shape place_shape(const SceneStyle& style, Rng& rng) {
  Shape out;
  const auto side = static_cast<float>(style.size);
  constexpr Shape::Kind kinds[] = {Shape::Kind::ellipse, Shape::Kind::rectangle, Shape::Kind::ring,
                                   Shape::Kind::triangle};
  out.kind = kinds[rng.below(4)];
  out.a = side * uniform(rng, 0.05, 0.17);
  out.b = out.a * uniform(rng, 0.4, 1);
  const float angle = uniform(rng, 0, 6.2831853);
  out.cos = std::cos(angle);
  out.sin = std::sin(angle);
  out.cx = uniform(rng, 0, side);
  out.cy = uniform(rng, 0, side);
  out.light_x = uniform(rng, -0.5, 0.5);
  out.light_y = uniform(rng, -0.5, 0.5);
  out.radius = 1.2f * (out.a + out.b);
  return out;
}

Box bounds_of(const std::vector<std::uint8_t>& mask, std::int64_t size) {
  Box box{size, size, 0, 0};
  for (std::int64_t y = 0; y < size; ++y)
    for (std::int64_t x = 0; x < size; ++x) {
      if (!mask[static_cast<std::size_t>(y * size + x)]) continue;
      box = {std::min(box.xmin, x), std::min(box.ymin, y), std::max(box.xmax, x + 1), std::max(box.ymax, y + 1)};
    }
  return box;
}

}  // namespace

Scene paint_scene(const Cutout& garment, std::span<const Cutout> pieces, const SceneStyle& style, Rng& rng) {
  PEN_CHECK(garment.area > 0, "paint_scene: the garment has no fabric");
  const float side = static_cast<float>(style.size);
  Canvas canvas(style.size);
  canvas.background(rng);
  // one light for all shadows
  const float shadow_x = side * uniform(rng, -0.03, 0.03), shadow_y = side * uniform(rng, 0.005, 0.035);
  const float shadow = uniform(rng, 0.2, 0.5);

  const int range = style.clutter_max - style.clutter_min + 1;
  const int clutter = style.clutter_min + static_cast<int>(rng.below(static_cast<std::uint64_t>(range)));
  for (int i = 0; i < clutter; ++i) {
    const Fabric fabric(rng);
    if (!pieces.empty() && rng.bernoulli(0.65)) {
      const Cutout& piece = pieces[rng.below(pieces.size())];
      if (piece.area > 0) canvas.add(place_patch(piece, style, rng), fabric, shadow_x, shadow_y, shadow, nullptr);
    } else {
      canvas.add(place_shape(style, rng), fabric, shadow_x, shadow_y, shadow, nullptr);
    }
  }

  const Placed place = place_garment(garment, style, rng);
  const Extent e = extent(garment, place.cos, place.sin, place.mirrored);
  const auto pixel = [&](float v) { return std::clamp<std::int64_t>(static_cast<std::int64_t>(v), 0, style.size); };
  const Box around{pixel(place.cx + e.low_p * place.scale), pixel(place.cy + e.low_q * place.scale),
                   pixel(place.cx + e.high_p * place.scale), pixel(place.cy + e.high_q * place.scale)};
  const Rgb behind = canvas.mean(around);
  // A garment the colour of what lies behind it would be no evidence for anyone: another tint then.
  Fabric fabric(rng);
  for (int tries = 0; tries < 12 && distance(fabric.middle(), behind) < 0.25f; ++tries) fabric = Fabric(rng);

  Scene out;
  out.mask.assign(static_cast<std::size_t>(style.size * style.size), 0);
  canvas.add(place, fabric, shadow_x, shadow_y, shadow, out.mask.data());
  out.box = bounds_of(out.mask, style.size);
  PEN_CHECK(out.box.xmin < out.box.xmax, "paint_scene: nothing of the garment is left at ", style.size, " pixels");
  canvas.light_and_noise(rng);
  out.rgb.reserve(out.mask.size() * 3);
  for (std::int64_t y = 0; y < style.size; ++y)
    for (std::int64_t x = 0; x < style.size; ++x) {
      const Rgb c = canvas.at(y, x);
      for (const float v : {c.r, c.g, c.b})
        out.rgb.push_back(static_cast<std::uint8_t>(std::lround(std::clamp(v, 0.f, 1.f) * 255)));
    }
  return out;
}

}  // namespace pen
