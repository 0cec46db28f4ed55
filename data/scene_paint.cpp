#include "data/scene_paint.h"

#include <array>

namespace pen::paint {
namespace {

constexpr float kTurn = 2 * std::numbers::pi_v<float>;

// Cubic weights of the four samples around a place t in [0, 1) between the middle two.
std::array<float, 4> b_spline(float t) {
  const float s = 1 - t;
  return {s * s * s / 6, (4 - 6 * t * t + 3 * t * t * t) / 6, (4 - 6 * s * s + 3 * s * s * s) / 6, t * t * t / 6};
}
std::array<float, 4> catmull_rom(float t) {
  const float t2 = t * t, t3 = t2 * t;
  return {(-t3 + 2 * t2 - t) / 2, (3 * t3 - 5 * t2 + 2) / 2, (-3 * t3 + 4 * t2 + t) / 2, (t3 - t2) / 2};
}

}  // namespace

Rgb hsv(float h, float s, float v) {
  const auto channel = [&](float n) {
    const float k = std::fmod(n + h * 6, 6.f);
    return v - v * s * std::max(0.f, std::min({k, 4 - k, 1.f}));
  };
  return {channel(5), channel(3), channel(1)};
}

Fabric::Fabric(Rng& rng) {
  const float hue = uniform(rng, 0, 1);
  const float saturation = rng.bernoulli(0.25) ? uniform(rng, 0, 0.15) : uniform(rng, 0.2, 0.7);
  const float value = uniform(rng, 0.45, 1);
  light_ = hsv(hue, saturation * 0.8f, value);
  dark_ = hsv(std::fmod(hue + uniform(rng, -0.05, 0.05) + 1, 1.f), std::min(1.f, saturation * 1.15f),
              value * uniform(rng, 0.3, 0.55));
  inverted_ = rng.bernoulli(0.5);
  if (rng.bernoulli(0.35)) {
    constexpr Pattern patterns[] = {Pattern::stripes, Pattern::plaid, Pattern::dots};
    pattern_ = patterns[rng.below(3)];
    print_ = uniform(rng, 0.15, 0.4) * (rng.bernoulli(0.5) ? 1.f : -1.f);
    period_ = uniform(rng, 5, 12);
    const float angle = uniform(rng, 0, kTurn);
    cos_ = std::cos(angle);
    sin_ = std::sin(angle);
  }
}

Rgb Fabric::at(float shade, float u, float v) const {
  float tone = inverted_ ? 1 - shade : shade;
  const float p = (u * cos_ + v * sin_) / period_ * kTurn, q = (v * cos_ - u * sin_) / period_ * kTurn;
  switch (pattern_) {
    case Pattern::plain:
      break;
    case Pattern::stripes:
      tone += print_ * smooth_step(-0.4f, 0.4f, std::sin(p));
      break;
    case Pattern::plaid:
      tone += print_ * 0.6f * (smooth_step(-0.4f, 0.4f, std::sin(p)) + smooth_step(-0.4f, 0.4f, std::sin(q)));
      break;
    case Pattern::dots:
      tone += print_ * 1.3f * smooth_step(0.5f, 1.f, std::sin(p) * std::sin(q));
      break;
  }
  return mix(dark_, light_, std::clamp(tone, -0.2f, 1.2f));
}

Touch Placed::touch(float x, float y) const {
  const float dx = (x - cx) / scale, dy = (y - cy) / scale;
  const float p = dx * cos + dy * sin, q = dy * cos - dx * sin;
  const float u = sx + (mirrored ? -p : p) - 0.5f, v = sy + q - 0.5f;
  const float bu = std::floor(u), bv = std::floor(v);
  const int iu = static_cast<int>(bu) - 1, iv = static_cast<int>(bv) - 1;
  Touch out;
  if (iu < 0 || iv < 0 || iu + 3 >= Cutout::kSide || iv + 3 >= Cutout::kSide) return out;
  const auto cover_u = b_spline(u - bu), cover_v = b_spline(v - bv);
  const auto shade_u = catmull_rom(u - bu), shade_v = catmull_rom(v - bv);
  float cover = 0, shade = 0;
  for (std::size_t j = 0; j < 4; ++j) {
    const std::size_t row = (static_cast<std::size_t>(iv) + j) * Cutout::kSide + static_cast<std::size_t>(iu);
    for (std::size_t i = 0; i < 4; ++i) {
      cover += cover_v[j] * cover_u[i] * cutout->cover[row + i];
      shade += shade_v[j] * shade_u[i] * cutout->shade[row + i];
    }
  }
  // The spline falls from 1 to 0 over about 1.5 source pixels; the gain makes that about 1.5 canvas pixels.
  out.cover = std::clamp(0.5f + (cover - 0.5f) * std::max(1.f, scale), 0.f, 1.f);
  out.soft = smooth_step(0.05f, 0.95f, cover);
  const float inside = std::min(half_width - std::abs(p), half_height - std::abs(q));
  out.cover *= std::clamp(0.5f + inside * scale, 0.f, 1.f);
  out.soft *= smooth_step(-1.f, 1.f, inside);
  out.shade = std::clamp(shade, 0.f, 1.f);
  out.u = p * scale;
  out.v = q * scale;
  return out;
}

Touch Shape::touch(float x, float y) const {
  const float u = (x - cx) * cos + (y - cy) * sin, v = (y - cy) * cos - (x - cx) * sin;
  float d = 0;  // distance from the outline in pixels, negative inside; near the outline only
  switch (kind) {
    case Kind::ellipse:
      d = (std::hypot(u / a, v / b) - 1) * std::min(a, b);
      break;
    case Kind::ring:
      d = std::abs(std::hypot(u, v) - 0.75f * a) - 0.25f * a;
      break;
    case Kind::rectangle: {
      const float corner = 0.3f * std::min(a, b);
      const float du = std::abs(u) - a + corner, dv = std::abs(v) - b + corner;
      d = std::hypot(std::max(du, 0.f), std::max(dv, 0.f)) + std::min(std::max(du, dv), 0.f) - corner;
      break;
    }
    case Kind::triangle:
      d = std::max(0.866f * std::abs(u) + 0.5f * v, -v) - 0.5f * std::min(a, b);
      break;
  }
  Touch out;
  out.cover = std::clamp(0.5f - d, 0.f, 1.f);
  const float width = 1.5f + 0.12f * std::min(a, b);
  out.soft = smooth_step(width, -width, d);
  out.shade = std::clamp(0.5f + (u * light_x + v * light_y) / std::max(a, b), 0.f, 1.f);
  out.u = u;
  out.v = v;
  return out;
}

void Canvas::background(Rng& rng) {
  const float hue = uniform(rng, 0, 1), value = uniform(rng, 0.35, 0.92);
  const auto colour = [&](float far) {
    return hsv(std::fmod(hue + uniform(rng, -far, far) + 1, 1.f), uniform(rng, 0.04, 0.4),
               std::clamp(value + uniform(rng, -0.15, 0.15), 0.15f, 0.95f));
  };
  const Rgb one = colour(0.05f), two = colour(0.15f), three = colour(0.1f);
  const float angle = uniform(rng, 0, kTurn), c = std::cos(angle), s = std::sin(angle);
  struct Wave {
    float x, y, phase, height;
  };
  std::array<Wave, 4> waves;
  for (Wave& w : waves)
    w = {uniform(rng, -1.6, 1.6), uniform(rng, -1.6, 1.6), uniform(rng, 0, 1), uniform(rng, 0.04, 0.12)};
  const bool horizon = rng.bernoulli(0.4);
  const float level = uniform(rng, 0.45, 0.8), slope = uniform(rng, -0.1, 0.1), blur = uniform(rng, 0.01, 0.06);
  for (std::int64_t y = 0; y < size_; ++y)
    for (std::int64_t x = 0; x < size_; ++x) {
      const float u = (static_cast<float>(x) + 0.5f) / static_cast<float>(size_);
      const float v = (static_cast<float>(y) + 0.5f) / static_cast<float>(size_);
      float flow = 0.5f + 0.5f * ((u - 0.5f) * c + (v - 0.5f) * s);
      float bright = 1;
      for (std::size_t i = 0; i < waves.size(); ++i) {
        const float wave = waves[i].height * std::sin(kTurn * (waves[i].x * u + waves[i].y * v + waves[i].phase));
        (i < 2 ? flow : bright) += i < 2 ? 2 * wave : wave;
      }
      Rgb pixel = mix(one, two, std::clamp(flow, 0.f, 1.f));
      if (horizon) pixel = mix(pixel, three, smooth_step(-blur, blur, v - level - slope * (u - 0.5f)));
      at(y, x) = pixel * bright;
    }
}

void Canvas::light_and_noise(Rng& rng) {
  const float gx = uniform(rng, -0.15, 0.15), gy = uniform(rng, -0.15, 0.15), corners = uniform(rng, 0, 0.25);
  const double grain = rng.uniform(0.003, 0.014);
  for (std::int64_t y = 0; y < size_; ++y)
    for (std::int64_t x = 0; x < size_; ++x) {
      const float u = (static_cast<float>(x) + 0.5f) / static_cast<float>(size_) - 0.5f;
      const float v = (static_cast<float>(y) + 0.5f) / static_cast<float>(size_) - 0.5f;
      const float gain = (1 + gx * u * 2 + gy * v * 2) * (1 - corners * (u * u + v * v) * 2);
      const auto noise = static_cast<float>(grain * rng.normal());
      at(y, x) = at(y, x) * gain + Rgb{noise, noise, noise};
    }
}

Rgb Canvas::mean(const Box& box) const {
  Rgb sum;
  for (std::int64_t y = box.ymin; y < box.ymax; ++y)
    for (std::int64_t x = box.xmin; x < box.xmax; ++x) sum = sum + pixels_[static_cast<std::size_t>(y * size_ + x)];
  const std::int64_t count = (box.xmax - box.xmin) * (box.ymax - box.ymin);
  return sum * (1.f / static_cast<float>(std::max<std::int64_t>(count, 1)));
}

}  // namespace pen::paint
