// Methods that hide parts of the image and see what the class's probability does. They need no gradient.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/rng.h"
#include "eval/attribution/copies.h"
#include "eval/attribution/methods.h"
#include "tensor/autograd.h"
#include "tensor/ops.h"

namespace pen::eval {
namespace {

constexpr std::int64_t own_samples = 4000, own_cells = 7;
constexpr double own_keep = 0.5;

// The logits of all images, then a map (S,S) from each image and its class.
template <class F>
Attribution image_by_image(const Question& question, F map_of) {
  const NoGrad no_grad;
  Attribution out;
  out.logits = question.runner().logits(question.x);
  const std::vector<std::int64_t> targets = question.targets(out.logits);
  std::vector<double> maps;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const std::vector<double> map = map_of(ops::slice_batch(question.x, static_cast<std::int64_t>(i), 1), targets[i]);
    maps.insert(maps.end(), map.begin(), map.end());
  }
  out.maps = Tensor::from(maps, {question.x.size(0), question.x.size(1), question.x.size(2)});
  return out;
}

// Random masks of RISE: a grid of cells that are on with probability `keep`, enlarged bilinearly to one cell more than
// the image on each axis, and cut to the image at a random shift. Mask v is a function of the seed and v.
class RiseMasks {
 public:
  RiseMasks(std::int64_t size, std::int64_t cells, double keep, std::uint64_t seed)
      : size_(size), cells_(cells), cell_((size + cells - 1) / cells), keep_(keep), seed_(seed) {}

  void write(std::int64_t v, std::span<float> mask) const {
    Rng rng(seed_, static_cast<std::uint64_t>(v));
    std::vector<double> grid(static_cast<std::size_t>(cells_ * cells_));
    for (double& g : grid) g = rng.bernoulli(keep_) ? 1 : 0;
    const std::vector<Tap> rows = taps(rng), columns = taps(rng);
    for (std::int64_t y = 0; y < size_; ++y) {
      const Tap r = rows[static_cast<std::size_t>(y)];
      for (std::int64_t x = 0; x < size_; ++x) {
        const Tap c = columns[static_cast<std::size_t>(x)];
        const auto at = [&](std::int64_t i, std::int64_t j) { return grid[static_cast<std::size_t>(i * cells_ + j)]; };
        mask[static_cast<std::size_t>(y * size_ + x)] =
            static_cast<float>((1 - r.weight) * ((1 - c.weight) * at(r.low, c.low) + c.weight * at(r.low, c.high)) +
                               r.weight * ((1 - c.weight) * at(r.high, c.low) + c.weight * at(r.high, c.high)));
      }
    }
  }

 private:
  struct Tap {
    std::int64_t low, high;
    double weight;  // of high
  };
  // Where the pixels of one axis read the grid, with a random shift of less than a cell.
  std::vector<Tap> taps(Rng& rng) const {
    const auto shift = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(cell_)));
    const double scale = static_cast<double>(cells_) / static_cast<double>((cells_ + 1) * cell_);
    std::vector<Tap> out;
    for (std::int64_t i = 0; i < size_; ++i) {
      const double at =
          std::clamp((static_cast<double>(i + shift) + 0.5) * scale - 0.5, 0.0, static_cast<double>(cells_ - 1));
      const auto low = static_cast<std::int64_t>(at);
      out.push_back({low, std::min(low + 1, cells_ - 1), at - static_cast<double>(low)});
    }
    return out;
  }

  std::int64_t size_, cells_, cell_;
  double keep_;
  std::uint64_t seed_;
};

void check_rise(const AttributionOptions& o, std::int64_t size) {
  PEN_CHECK_AS(usage, o.cells <= size, "rise: ", o.cells, " cells on an axis of ", size, " pixels");
}

// 1/(keep N) sum over N random masks M of p(x M) M
Attribution rise(const Question& question) {
  const AttributionOptions& o = question.options;
  const std::int64_t size = question.x.size(1), samples = o.samples ? o.samples : own_samples;
  const std::int64_t cells = o.cells ? o.cells : std::min(own_cells, size);
  const double keep = o.keep > 0 ? o.keep : own_keep;
  const RiseMasks masks(size, cells, keep, o.seed);
  return image_by_image(question, [&](const Tensor& image, std::int64_t target) {
    const std::vector<double> p = masked_scores(question, image, target, Score::probability, samples, size,
                                                [&](std::int64_t v, std::span<float> mask) { masks.write(v, mask); });
    std::vector<double> map(static_cast<std::size_t>(size * size), 0.0);
    std::vector<float> mask(map.size());
    for (std::int64_t v = 0; v < samples; ++v) {
      masks.write(v, mask);
      const double weight = p[static_cast<std::size_t>(v)] / (keep * static_cast<double>(samples));
      for (std::size_t k = 0; k < map.size(); ++k) map[k] += weight * static_cast<double>(mask[k]);
    }
    return map;
  });
}

// Places of a patch along one axis: every `stride` pixels, and one that ends at the border.
std::vector<std::int64_t> places(std::int64_t size, std::int64_t window, std::int64_t stride) {
  std::vector<std::int64_t> out;
  for (std::int64_t at = 0; at + window < size; at += stride) out.push_back(at);
  out.push_back(size - window);
  return out;
}

// The patch and its step, in pixels.
struct Patch {
  std::int64_t window, stride;
};
Patch patch_of(const AttributionOptions& o, std::int64_t size) {
  const std::int64_t window = o.window ? o.window : std::max<std::int64_t>(1, size / 7);
  return {window, o.stride ? o.stride : std::max<std::int64_t>(1, window / 2)};
}

void check_occlusion(const AttributionOptions& o, std::int64_t size) {
  const auto [window, stride] = patch_of(o, size);
  PEN_CHECK_AS(usage, window <= size, "occlusion: a window of ", window, " pixels on images of ", size);
  PEN_CHECK_AS(usage, stride <= window, "occlusion: with stride ", stride, " patches of ", window,
               " pixels leave gaps between them");
}

// p(x) - p(x with a patch in the mean colour), averaged over the patches that cover a pixel
Attribution occlusion(const Question& question) {
  const std::int64_t size = question.x.size(1);
  const Patch patch = patch_of(question.options, size);
  const std::int64_t window = patch.window, stride = patch.stride;
  const std::vector<std::int64_t> axis = places(size, window, stride);
  const auto side = static_cast<std::int64_t>(axis.size());
  const auto covered = [&](std::int64_t v, auto body) {
    const std::int64_t y0 = axis[static_cast<std::size_t>(v / side)], x0 = axis[static_cast<std::size_t>(v % side)];
    for (std::int64_t y = y0; y < y0 + window; ++y)
      for (std::int64_t x = x0; x < x0 + window; ++x) body(static_cast<std::size_t>(y * size + x));
  };
  return image_by_image(question, [&](const Tensor& image, std::int64_t target) {
    // The last mask hides nothing.
    const std::vector<double> p = masked_scores(question, image, target, Score::probability, side * side + 1, size,
                                                [&](std::int64_t v, std::span<float> mask) {
                                                  std::fill(mask.begin(), mask.end(), 1.0f);
                                                  if (v < side * side) covered(v, [&](std::size_t k) { mask[k] = 0; });
                                                });
    std::vector<double> map(static_cast<std::size_t>(size * size), 0.0), times(map.size(), 0.0);
    for (std::int64_t v = 0; v < side * side; ++v) {
      const double drop = p.back() - p[static_cast<std::size_t>(v)];
      covered(v, [&](std::size_t k) {
        map[k] += drop;
        times[k] += 1;
      });
    }
    for (std::size_t k = 0; k < map.size(); ++k) map[k] /= times[k];
    return map;
  });
}

}  // namespace

std::vector<Method> perturbation_methods() {
  return {
      {{.many = true, .check = check_rise},
       "rise",
       Needs::forward,
       "1/(keep N) sum over N random masks M of p(x M) M, p the class's probability",
       "Petsiuk, Das, Saenko, RISE, BMVC 2018, arXiv 1806.07421",
       "samples forward",
       "samples 4000, cells 7, keep 0.5",
       rise},
      {{.many = true, .check = check_occlusion},
       "occlusion",
       Needs::forward,
       "p(x) - p(x with a patch in the mean colour), averaged over the patches that cover a pixel",
       "Zeiler, Fergus, Visualizing and understanding convolutional networks, ECCV 2014, arXiv 1311.2901",
       "one forward for each place of the patch",
       "window S/7, stride window/2",
       occlusion},
  };
}

}  // namespace pen::eval
