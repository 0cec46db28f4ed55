// Rank and linear correlation as scipy.stats computes them.
#pragma once

#include <span>
#include <vector>

namespace pen::eval::sanity {

// Ranks from 1; equal values share the mean of their ranks (scipy.stats.rankdata, method "average"). No value may be
// NaN.
std::vector<double> average_ranks(std::span<const float> values);

// Pearson's correlation in [-1, 1], sums in double: sum (x - mx)(y - my) / sqrt(sum (x - mx)^2 sum (y - my)^2). NaN if
// either side is constant or holds a value that is not finite, where scipy.stats.pearsonr says NaN too. Equal lengths,
// at least 2.
double pearson(std::span<const double> x, std::span<const double> y);
double pearson(std::span<const float> x, std::span<const float> y);

// Spearman's correlation: Pearson's of the average ranks (scipy.stats.spearmanr).
double spearman(std::span<const float> x, std::span<const float> y);

}  // namespace pen::eval::sanity
