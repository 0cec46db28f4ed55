#include "eval/sanity/hog.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace pen::eval::sanity {
namespace {

constexpr double tiny = 1e-5, clip = 0.2;

// Python's x % 180: a tiny negative angle may round up to 180 itself.
double modulo_180(double degrees) {
  const double rest = std::fmod(degrees, 180.0);
  return rest < 0 ? rest + 180.0 : rest == 0 ? 0.0 : rest;
}

void normalise(std::span<double> block) {
  double squares = 0;
  for (const double v : block) squares += v * v;
  const double norm = std::sqrt(squares + tiny * tiny);
  for (double& v : block) v /= norm;
}

}  // namespace

std::vector<float> hog(std::span<const float> map, std::int64_t height, std::int64_t width, const HogOptions& o) {
  PEN_CHECK(o.orientations >= 1 && o.cell >= 1 && o.block >= 1, "hog: ", o.orientations, " orientations, cells of ",
            o.cell, ", blocks of ", o.block);
  PEN_CHECK(static_cast<std::int64_t>(map.size()) == height * width, "hog: ", map.size(), " values for ", height, "x",
            width);
  PEN_CHECK(std::min(height, width) >= smallest_side(o), "hog: a map of ", height, "x", width,
            " is smaller than a block of ", smallest_side(o), "x", smallest_side(o));
  const std::int64_t rows = height / o.cell, columns = width / o.cell, bins = o.orientations;
  // (rows, columns, bins); pixels beyond the last whole cell vote nowhere.
  std::vector<float> votes(static_cast<std::size_t>(rows * columns * bins));
  const double bin_width = 180.0 / static_cast<double>(bins);
  const auto at = [&](std::int64_t y, std::int64_t x) { return map[static_cast<std::size_t>(y * width + x)]; };
  for (std::int64_t y = 0; y < rows * o.cell; ++y) {
    for (std::int64_t x = 0; x < columns * o.cell; ++x) {
      const float down = y == 0 || y == height - 1 ? 0.0f : at(y + 1, x) - at(y - 1, x);
      const float across = x == 0 || x == width - 1 ? 0.0f : at(y, x + 1) - at(y, x - 1);
      if (down == 0.0f && across == 0.0f) continue;
      const double angle =
          modulo_180(std::atan2(static_cast<double>(down), static_cast<double>(across)) * (180.0 / std::numbers::pi));
      auto bin = static_cast<std::int64_t>(angle / bin_width);
      // The division may round over an edge of the bins, which are [width i, width (i + 1)).
      if (angle < bin_width * static_cast<double>(bin)) --bin;
      if (angle >= bin_width * static_cast<double>(bin + 1)) ++bin;
      if (bin >= bins) continue;  // 180 degrees after rounding: in no bin
      // scikit-image sums the votes of a cell in a float32, pixel by pixel.
      float& sum = votes[static_cast<std::size_t>(((y / o.cell) * columns + x / o.cell) * bins + bin)];
      sum = static_cast<float>(static_cast<double>(sum) +
                               std::hypot(static_cast<double>(across), static_cast<double>(down)));
    }
  }
  const double pixels = static_cast<double>(o.cell) * o.cell;
  std::vector<double> cells(votes.begin(), votes.end());
  for (double& mean : cells) mean /= pixels;

  std::vector<float> out;
  const auto per_block = static_cast<std::size_t>(o.block * o.block * bins);
  out.reserve(static_cast<std::size_t>((rows - o.block + 1) * (columns - o.block + 1)) * per_block);
  std::vector<double> block(per_block);
  for (std::int64_t r = 0; r + o.block <= rows; ++r) {
    for (std::int64_t c = 0; c + o.block <= columns; ++c) {
      auto to = block.begin();
      for (std::int64_t y = r; y < r + o.block; ++y) {
        const auto from = cells.begin() + (y * columns + c) * bins;
        to = std::copy(from, from + o.block * bins, to);
      }
      normalise(block);
      for (double& v : block) v = std::min(v, clip);
      normalise(block);
      for (const double v : block) out.push_back(static_cast<float>(v));
    }
  }
  return out;
}

}  // namespace pen::eval::sanity
