// What scenes are painted with: colours, fabrics, forms, the canvas. Used by scene.cpp only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "base/rng.h"
#include "data/scene.h"

namespace pen::paint {

struct Rgb {
  float r = 0, g = 0, b = 0;
};
inline Rgb operator+(Rgb p, Rgb q) { return {p.r + q.r, p.g + q.g, p.b + q.b}; }
inline Rgb operator*(Rgb p, float k) { return {p.r * k, p.g * k, p.b * k}; }
inline Rgb mix(Rgb a, Rgb b, float t) { return a * (1 - t) + b * t; }
inline float distance(Rgb a, Rgb b) { return std::hypot(a.r - b.r, a.g - b.g, a.b - b.b); }
inline float smooth_step(float low, float high, float x) {
  const float t = std::clamp((x - low) / (high - low), 0.f, 1.f);
  return t * t * (3 - 2 * t);
}
inline float uniform(Rng& rng, double low, double high) { return static_cast<float>(rng.uniform(low, high)); }

// Hue, saturation, value, each 0..1.
Rgb hsv(float h, float s, float v);

// How a surface answers to shade (0..1) at a place (u, v) on it, in pixels: two tones and perhaps a printed pattern.
class Fabric {
 public:
  explicit Fabric(Rng& rng);
  Rgb at(float shade, float u, float v) const;
  Rgb middle() const { return mix(dark_, light_, 0.5f); }

 private:
  enum class Pattern { plain, stripes, plaid, dots };
  Rgb dark_, light_;
  Pattern pattern_ = Pattern::plain;
  float print_ = 0, period_ = 1, cos_ = 1, sin_ = 0;
  bool inverted_ = false;
};

// What a form is at one place of the canvas.
struct Touch {
  float cover = 0;     // 0..1, with an edge about a pixel wide
  float soft = 0;      // the same with a wide edge, for the shadow
  float shade = 0.5f;  // for the fabric
  float u = 0, v = 0;  // place on the form in pixels
};

// A cut-out placed on the canvas, turned, mirrored, or a rectangular patch of one.
struct Placed {
  const Cutout* cutout = nullptr;
  float cx = 0, cy = 0;             // where the source's (sx, sy) comes to lie
  float sx = 0, sy = 0, scale = 1;  // scale: canvas pixels per source pixel
  float cos = 1, sin = 0;
  bool mirrored = false;
  float half_width = 1e9f, half_height = 1e9f;  // of the patch, in source pixels
  float radius = 0;                             // everything lies within, in canvas pixels
  Touch touch(float x, float y) const;
};

// Ellipse, rounded rectangle, ring or triangle with a plain gradient of shade.
struct Shape {
  enum class Kind { ellipse, rectangle, ring, triangle } kind = Kind::ellipse;
  float cx = 0, cy = 0, a = 1, b = 1, cos = 1, sin = 0, radius = 0;
  float light_x = 0, light_y = 0;
  Touch touch(float x, float y) const;
};

class Canvas {
 public:
  explicit Canvas(std::int64_t size) : size_(size), pixels_(static_cast<std::size_t>(size * size)) {}
  std::int64_t size() const { return size_; }
  Rgb& at(std::int64_t y, std::int64_t x) { return pixels_[static_cast<std::size_t>(y * size_ + x)]; }
  // Two or three colours flowing into each other, sometimes with a horizon.
  void background(Rng& rng);
  // Light from one side, darker corners, sensor noise.
  void light_and_noise(Rng& rng);
  Rgb mean(const Box& box) const;

  // Paints form with its shadow. mask (size*size, may be null) is set to 255 where the form covers half or more.
  template <class Form>
  void add(const Form& form, const Fabric& fabric, float shadow_x, float shadow_y, float shadow, std::uint8_t* mask) {
    const float reach = form.radius + std::abs(shadow_x) + std::abs(shadow_y) + 2;
    const auto first = [](float v) { return std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(v))); };
    const auto last = [&](float v) { return std::min<std::int64_t>(size_, static_cast<std::int64_t>(std::ceil(v))); };
    for (std::int64_t y = first(form.cy - reach); y < last(form.cy + reach); ++y)
      for (std::int64_t x = first(form.cx - reach); x < last(form.cx + reach); ++x) {
        const float px = static_cast<float>(x) + 0.5f, py = static_cast<float>(y) + 0.5f;
        Rgb& pixel = at(y, x);
        pixel = pixel * (1 - shadow * form.touch(px - shadow_x, py - shadow_y).soft);
        const Touch touch = form.touch(px, py);
        if (touch.cover <= 0) continue;
        pixel = mix(pixel, fabric.at(touch.shade, touch.u, touch.v), touch.cover);
        if (mask && touch.cover >= 0.5f) mask[y * size_ + x] = 255;
      }
  }

 private:
  std::int64_t size_;
  std::vector<Rgb> pixels_;
};

}  // namespace pen::paint
