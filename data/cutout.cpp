// Cutting a garment out of its 28x28 picture.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "data/scene.h"

namespace pen {
namespace {

constexpr int kSide = Cutout::kSide;
// Pixels this dark are background; the compression of the source pictures left specks below it.
constexpr std::uint8_t kBackground = 8;
// Smaller separate parts are specks, smaller holes are dark fabric.
constexpr std::size_t kSmallest = 6;

// The connected part of `grid` with the value of its seed, 4-connected for holes, 8-connected for fabric.
std::vector<int> component(const std::array<bool, kSide * kSide>& grid, std::array<bool, kSide * kSide>& seen, int seed,
                           bool diagonal) {
  std::vector<int> found = {seed};
  seen[static_cast<std::size_t>(seed)] = true;
  for (std::size_t next = 0; next < found.size(); ++next) {
    const int y = found[next] / kSide, x = found[next] % kSide;
    for (int dy = -1; dy <= 1; ++dy)
      for (int dx = -1; dx <= 1; ++dx) {
        if ((dx == 0 && dy == 0) || (!diagonal && dx != 0 && dy != 0)) continue;
        if (y + dy < 0 || y + dy >= kSide || x + dx < 0 || x + dx >= kSide) continue;
        const int at = (y + dy) * kSide + x + dx;
        const auto index = static_cast<std::size_t>(at);
        if (seen[index] || grid[index] != grid[static_cast<std::size_t>(seed)]) continue;
        seen[index] = true;
        found.push_back(at);
      }
  }
  return found;
}

// Shades of the fabric's edge go on outwards, so that interpolation at the outline mixes in no background.
void extend_shade(Cutout& out, std::array<bool, kSide * kSide> known) {
  for (int round = 0; round < Cutout::kMargin + 3; ++round) {
    const auto before = known;
    for (int y = 0; y < kSide; ++y)
      for (int x = 0; x < kSide; ++x) {
        const auto at = static_cast<std::size_t>(y * kSide + x);
        if (before[at]) continue;
        float sum = 0;
        int count = 0;
        for (int dy = -1; dy <= 1; ++dy)
          for (int dx = -1; dx <= 1; ++dx) {
            const int yy = y + dy, xx = x + dx;
            if (yy < 0 || yy >= kSide || xx < 0 || xx >= kSide) continue;
            const auto neighbour = static_cast<std::size_t>(yy * kSide + xx);
            if (!before[neighbour]) continue;
            sum += out.shade[neighbour];
            ++count;
          }
        if (count == 0) continue;
        out.shade[at] = sum / static_cast<float>(count);
        known[at] = true;
      }
  }
}

// How much of a fabric pixel is fabric: at the outline the source picture is mixed with its dark background, so the
// ratio to the fabric further in places the outline more finely than whole pixels do.
float edge_cover(const std::array<bool, kSide * kSide>& fabric, const std::array<std::uint8_t, kSide * kSide>& value,
                 int y, int x) {
  int around = 0, sum = 0;
  for (int dy = -1; dy <= 1; ++dy)
    for (int dx = -1; dx <= 1; ++dx) {
      const auto at = static_cast<std::size_t>((y + dy) * kSide + x + dx);
      if ((dx == 0 && dy == 0) || !fabric[at]) continue;
      ++around;
      sum += value[at];
    }
  // Thin straps are all outline; thinned further they would fall apart.
  if (around == 8 || around < 4 || sum == 0) return 1;
  const float ratio =
      static_cast<float>(value[static_cast<std::size_t>(y * kSide + x)] * around) / static_cast<float>(sum);
  return std::clamp(ratio * 1.1f, 0.25f, 1.f);
}

}  // namespace

Cutout cut_out(std::span<const std::uint8_t> pixels, bool see_through) {
  PEN_CHECK(pixels.size() == std::size_t{Cutout::kSource * Cutout::kSource}, "cut_out: ", pixels.size(), " pixels");
  std::array<bool, kSide * kSide> fabric{};
  std::array<std::uint8_t, kSide * kSide> value{};
  for (int y = 0; y < Cutout::kSource; ++y)
    for (int x = 0; x < Cutout::kSource; ++x) {
      const auto at = static_cast<std::size_t>((y + Cutout::kMargin) * kSide + x + Cutout::kMargin);
      value[at] = pixels[static_cast<std::size_t>(y * Cutout::kSource + x)];
      fabric[at] = value[at] >= kBackground;
    }
  std::array<bool, kSide * kSide> seen{};
  component(fabric, seen, 0, false);  // the outside; what is dark and not reached from there are holes
  for (int i = 0; i < kSide * kSide; ++i) {
    if (seen[static_cast<std::size_t>(i)] || fabric[static_cast<std::size_t>(i)]) continue;
    const std::vector<int> hole = component(fabric, seen, i, false);
    if (!see_through || hole.size() < kSmallest)
      for (const int at : hole) fabric[static_cast<std::size_t>(at)] = true;
  }
  seen.fill(false);
  for (int i = 0; i < kSide * kSide; ++i) {
    if (seen[static_cast<std::size_t>(i)] || !fabric[static_cast<std::size_t>(i)]) continue;
    const std::vector<int> part = component(fabric, seen, i, true);
    if (part.size() < kSmallest)
      for (const int at : part) fabric[static_cast<std::size_t>(at)] = false;
  }

  // The middle 90% of the fabric's values become shades 0..1; the contrast of nearly plain fabric is not blown up.
  std::vector<std::uint8_t> values;
  for (std::size_t i = 0; i < fabric.size(); ++i)
    if (fabric[i]) values.push_back(value[i]);
  Cutout out;
  out.area = static_cast<int>(values.size());
  if (values.empty()) return out;
  std::sort(values.begin(), values.end());
  const auto low = static_cast<float>(values[values.size() / 20]);
  const auto high = static_cast<float>(values[values.size() - 1 - values.size() / 20]);
  const float span = std::max(high - low, 90.f);
  const float middle = (low + high) / 2;
  std::array<bool, kSide * kSide> known{};
  for (int y = Cutout::kMargin; y < kSide - Cutout::kMargin; ++y)
    for (int x = Cutout::kMargin; x < kSide - Cutout::kMargin; ++x) {
      const auto at = static_cast<std::size_t>(y * kSide + x);
      if (!fabric[at]) continue;
      out.cover[at] = edge_cover(fabric, value, y, x);
      out.shade[at] = std::clamp(0.5f + (static_cast<float>(value[at]) - middle) / span, 0.f, 1.f);
      // the value of a pixel that is half background says little about the fabric
      known[at] = out.cover[at] > 0.7f;
    }
  extend_shade(out, known);
  return out;
}

}  // namespace pen
