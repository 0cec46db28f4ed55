// Many altered copies of one image through the network, a few at a time: what perturbation methods are made of.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "eval/attribution/method.h"

namespace pen::eval {

// Fills mask number v, (side, side) values that the image is multiplied with.
using WriteMask = std::function<void(std::int64_t v, std::span<float> mask)>;

// Calls body(copies (b,S,S,3), first) for mask numbers first .. first + b - 1 of 0 .. count - 1, at_once at most
// together. image (1,S,S,3). Masks of another side than S are enlarged bilinearly with aligned corners.
void for_masked(const Tensor& image, std::int64_t count, std::int64_t side, std::int64_t at_once,
                const WriteMask& write, const std::function<void(const Tensor& copies, std::int64_t first)>& body);

// The same image b times: (b,S,S,3).
Tensor repeated(const Tensor& image, std::int64_t b);

enum class Score : std::uint8_t { logit, probability };
// Of one class, in each row of logits (N,classes).
std::vector<double> scores_of(const Tensor& logits, std::int64_t target, Score score);
// Of one class, for the image masked in each of `count` ways.
std::vector<double> masked_scores(const Question& question, const Tensor& image, std::int64_t target, Score score,
                                  std::int64_t count, std::int64_t side, const WriteMask& write);

// A random stream that belongs to the pixels of an image, so that its map does not depend on its place in a batch.
std::uint64_t stream_of(const Tensor& image);

}  // namespace pen::eval
