#include "eval/attribution/copies.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/parallel.h"
#include "tensor/autograd.h"
#include "tensor/ops.h"

namespace pen::eval {

Tensor repeated(const Tensor& image, std::int64_t b) {
  return ops::concat_batch(std::vector<Tensor>(static_cast<std::size_t>(b), image));
}

void for_masked(const Tensor& image, std::int64_t count, std::int64_t side, std::int64_t at_once,
                const WriteMask& write, const std::function<void(const Tensor&, std::int64_t)>& body) {
  const std::int64_t size = image.size(1), most = std::min(at_once, count), plane = side * side;
  const Tensor images = repeated(image, most);
  std::vector<float> masks;
  for (std::int64_t first = 0; first < count; first += most) {
    const std::int64_t b = std::min(most, count - first);
    masks.resize(static_cast<std::size_t>(b * plane));
    parallel_for(b, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t j = begin; j < end; ++j)
        write(first + j,
              std::span(masks).subspan(static_cast<std::size_t>(j * plane), static_cast<std::size_t>(plane)));
    });
    Tensor mask = Tensor::from(masks, {b, side, side, 1}, image.device()).to(image.dtype());
    if (side != size) mask = ops::resize_bilinear(mask, size, size, true);
    body(ops::mask_in(b == most ? images : ops::slice_batch(images, 0, b), mask), first);
  }
}

std::vector<double> scores_of(const Tensor& logits, std::int64_t target, Score score) {
  const std::vector<double> z = logits.to(DType::f64).to_vector<double>();
  const auto classes = static_cast<std::size_t>(logits.size(1)), at = static_cast<std::size_t>(target);
  std::vector<double> out(static_cast<std::size_t>(logits.size(0)));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto row = std::span(z).subspan(i * classes, classes);
    out[i] = row[at];
    if (score == Score::logit) continue;
    const double most = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (const double v : row) sum += std::exp(v - most);
    out[i] = std::exp(row[at] - most) / sum;
  }
  return out;
}

std::vector<double> masked_scores(const Question& question, const Tensor& image, std::int64_t target, Score score,
                                  std::int64_t count, std::int64_t side, const WriteMask& write) {
  const NoGrad no_grad;
  std::vector<double> all;
  all.reserve(static_cast<std::size_t>(count));
  for_masked(image, count, side, question.options.internal_batch, write, [&](const Tensor& copies, std::int64_t) {
    const std::vector<double> part = scores_of(question.runner().logits(copies), target, score);
    all.insert(all.end(), part.begin(), part.end());
  });
  return all;
}

std::uint64_t stream_of(const Tensor& image) {
  std::uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a, a pixel at a time
  for (const float v : image.to(DType::f32).to_vector<float>())
    hash = (hash ^ std::bit_cast<std::uint32_t>(v)) * 0x100000001b3ull;
  return hash;
}

}  // namespace pen::eval
