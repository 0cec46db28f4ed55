#include "eval/faithfulness/place.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"

namespace pen::eval {

double pointing_tolerance(std::int64_t size) { return 15.0 * static_cast<double>(size) / 224.0; }

double pointing_game(std::span<const double> map, std::span<const std::uint8_t> object, std::int64_t size,
                     double tolerance) {
  PEN_CHECK(map.size() == static_cast<std::size_t>(size * size) && object.size() == map.size(),
            "pointing game: ", map.size(), " values and ", object.size(), " true pixels for side ", size);
  const double largest = *std::max_element(map.begin(), map.end());
  const auto reach = static_cast<std::int64_t>(tolerance);
  const auto near = [&](std::int64_t y, std::int64_t x) {
    for (std::int64_t oy = std::max<std::int64_t>(0, y - reach); oy <= std::min(size - 1, y + reach); ++oy)
      for (std::int64_t ox = std::max<std::int64_t>(0, x - reach); ox <= std::min(size - 1, x + reach); ++ox)
        if (object[static_cast<std::size_t>(oy * size + ox)] &&
            static_cast<double>((oy - y) * (oy - y) + (ox - x) * (ox - x)) <= tolerance * tolerance)
          return true;
    return false;
  };
  std::int64_t points = 0, hits = 0;
  for (std::int64_t i = 0; i < size * size; ++i) {
    if (map[static_cast<std::size_t>(i)] != largest) continue;
    ++points;
    hits += object[static_cast<std::size_t>(i)] || near(i / size, i % size);
  }
  return points == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(points);
}

double energy_pointing_game(std::span<const double> map, std::span<const std::uint8_t> object) {
  PEN_CHECK(map.size() == object.size(), "energy-based pointing game: ", map.size(), " values and ", object.size(),
            " true pixels");
  double inside = 0, all = 0;
  for (std::size_t i = 0; i < map.size(); ++i) {
    all += map[i];
    if (object[i]) inside += map[i];
  }
  return all > 0 ? inside / all : 0;
}

double sparseness(std::span<const double> map) {
  PEN_CHECK(!map.empty(), "sparseness of an empty map");
  std::vector<double> sorted(map.size());
  std::transform(map.begin(), map.end(), sorted.begin(), [](double v) { return std::abs(v); });
  std::sort(sorted.begin(), sorted.end());
  const double n = static_cast<double>(sorted.size());
  double sum = 0, weighted = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    sum += sorted[i];
    weighted += (2 * static_cast<double>(i + 1) - n - 1) * sorted[i];
  }
  return sum > 0 ? weighted / (n * sum) : 0;
}

}  // namespace pen::eval
